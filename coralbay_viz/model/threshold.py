"""Threshold of the heat map as a slider and in words: a fraction of the body on a logarithmic scale."""

import numpy as np

from .results import STRICTEST_FRACTION

SLIDER_STEPS = 1000
"""Positions of the slider; further right are fewer, more similar places."""


def fraction_at(value: int) -> float:
    """Convert a slider position to a fraction of the body."""
    return float(STRICTEST_FRACTION ** (value / SLIDER_STEPS))


def slider_value(fraction: float) -> int:
    """Convert a fraction of the body to a slider position: the inverse of `fraction_at`."""
    return round(SLIDER_STEPS * np.log(max(fraction, STRICTEST_FRACTION)) / np.log(STRICTEST_FRACTION))


def in_words(fraction: float, score: float | None) -> str:
    """Describe a threshold: ``best 8.6% of the body, score ≥ 0.607``; without a heat map it has no score."""
    digits = 0 if fraction >= 0.1 else 1 if fraction >= 0.005 else 3
    return f"best {100 * fraction:.{digits}f}% of the body" + ("" if score is None else f", score ≥ {score:.3f}")
