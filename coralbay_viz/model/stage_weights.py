"""Weights of the encoder's stages in a heat map, as a user sets them."""

from collections.abc import Mapping
from typing import Any, Literal

from coralbay_core.errors import InputError

Mixer = Mapping[int, float] | Literal["auto"] | None


def checked_weights(weights: Any) -> Mixer:
    """Check weights of strides: a dict of int to float, ``auto``, or None for equal ones."""
    if weights is None or weights == "auto":
        return weights
    try:
        chosen = {int(stride): float(weight) for stride, weight in weights.items()}
    except (AttributeError, TypeError, ValueError):
        chosen = {}
    if not chosen or not all(0 <= w < float("inf") for w in chosen.values()) or not any(chosen.values()):
        raise InputError("unusable scale weights", found=weights, expected='e.g. {4: 1, 8: 0.5}, "auto" or None')
    return chosen
