"""Comparison of heat maps under different CT windows."""

from functools import partial
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import Grid, Volume

from ..jobs import Report
from ..model.clicks import Clicks
from .encoders import Cancelled, Encoders

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
    report: Report,
    cancelled: Cancelled,
) -> WindowResult:
    from coralbay_core.extraction.sliding_window import ExtractionCallbacks
    from coralbay_core.similarity.hu_windows import compare_windows

    watch = ExtractionCallbacks(report, cancelled, say=partial(report.tell, say))
    made = compare_windows(volume, encoders.get(model), clicks.positive, clicks.negative, watch=watch, **settings)
    shown = {answer.name: made.resample_to(grid, answer.ranks) for answer in made.answers}
    return WindowResult(made, shown, made.resample_to(grid, made.stability), grid, clicks)
