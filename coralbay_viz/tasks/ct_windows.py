"""Comparison of heat maps under different CT windows."""

from functools import partial
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import Grid, Volume

from ..jobs import JobContext
from ..model.clicks import Clicks
from .encoders import Encoders

if TYPE_CHECKING:
    pass
from ..model.results import WindowResult


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
    shown = {answer.name: made.on(answer.ranks, grid) for answer in made.answers}
    return WindowResult(made, shown, made.on(made.stability, grid), grid, clicks)
