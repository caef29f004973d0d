"""Probability and margin maps of a probe."""

from typing import TYPE_CHECKING

from coralbay_core.spatial import Grid

from ..model.results import ScoreResult
from .labeling import Labeling

if TYPE_CHECKING:
    from coralbay_core.probe import Probe


def scores(
    probe: "Probe",
    labeling: Labeling,
    grid: Grid,
    value: int | None,
) -> ScoreResult:
    """Compute the probability of one label, or of the segmented ones, and the margin."""
    made, guide, protected = labeling.scores(probe), labeling.guide, labeling.protected
    best = made.segment(grid, guide=guide, protected=protected, probability=value is None, margin=True)
    chance = best.probability
    if value is not None:
        chance = made.probability_of(value, grid, guide=guide, protected=protected)
    assert chance is not None, "it was asked for"
    assert best.margin is not None, "it was asked for"
    return ScoreResult(value, chance, best.margin, grid, probe)
