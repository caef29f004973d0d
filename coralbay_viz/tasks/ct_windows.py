"""Comparison of heat maps under different CT windows."""

from functools import partial
from typing import Any

from coralbay_core.spatial import Grid, Volume

from ..jobs import JobContext
from ..model.clicks import Clicks
from ..model.results import WindowResult
from .encoders import Encoders


def inspect(
    volume: Volume,
    encoders: Encoders,
    model: str,
    clicks: Clicks,
    settings: dict[str, Any],
    grid: Grid,
    say: Any,
    context: JobContext,
) -> WindowResult:
    """Compute heat maps of the clicks under several CT windows and compare them."""
    from coralbay_core.extraction.sliding_window import ExtractionCallbacks
    from coralbay_core.similarity.hu_windows import compare_windows

    watch = ExtractionCallbacks(context.progress, context.cancelled, say=partial(context.post, say))
    made = compare_windows(volume, encoders.get(model), clicks.positive, clicks.negative, watch=watch, **settings)
    shown = {answer.name: made.resample_to(grid, answer.ranks) for answer in made.answers}
    return WindowResult(made, shown, made.resample_to(grid, made.stability), grid, clicks)
