"""Probability and margin maps of a probe."""

from typing import TYPE_CHECKING

from coralbay_core.spatial import Grid, LabelVolume, Volume

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.probe import Probe
from ..model.results import ScoreResult


def scores(
    probe: "Probe",
    features: "FeatureMaps",
    grid: Grid,
    value: int | None,
    guide: Volume | None,
    protected: LabelVolume | None,
) -> ScoreResult:
    """Compute the probability of one label, or of the segmented ones, and the margin."""
    made = probe.scores(features)
    best = made.segment(grid, guide=guide, protected=protected, probability=value is None, margin=True)
    chance = best.probability
    if value is not None:
        chance = made.probability_of(value, grid, guide=guide, protected=protected)
    assert chance is not None, "it was asked for"
    assert best.margin is not None, "it was asked for"
    return ScoreResult(value, chance, best.margin, grid, probe)
