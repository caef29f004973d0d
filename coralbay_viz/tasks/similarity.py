"""Heat maps of clicks and queries, propagated landmarks and the comparison of both sides of the body."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid

from ..jobs import Report
from ..model.clicks import Clicks
from ..model.results import HeatResult, ScoreScale
from ..model.stage_weights import Mixer
from .encoders import Cancelled

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import FollowUp, Landmark
    from coralbay_core.similarity import Query
    from coralbay_core.similarity.symmetry import Midplane, SideBySide


@dataclass(frozen=True, eq=False)
class HeatRequest:
    """What a heat map is to answer, frozen when it was asked.

    Parameters
    ----------
    clicks : Clicks
    source, target : FeatureMaps
        Of the scan that the clicks lie in, and of the one that is searched.
    queries : tuple of Query
        Saved ones, asked beside the clicks.
    weights : mapping of int to float, "auto", optional
    prior_mm : float, optional
        Width of a distance prior around the clicks.
    partial : bool
        Whether one of them is but the first of its scan's features.
    """

    clicks: Clicks
    source: "FeatureMaps"
    target: "FeatureMaps"
    queries: "tuple[Query, ...]" = ()
    weights: Mixer = None
    prior_mm: float | None = None
    partial: bool = False


TOP_REGIONS = 10


def heat(request: "HeatRequest", grid: Grid, report: Report, cancelled: Cancelled) -> HeatResult:
    from coralbay_core.matching import SimilarityRequest, answer

    asked = SimilarityRequest(
        target=request.target,
        source=request.source,
        positive_mm=request.clicks.positive,
        negative_mm=request.clicks.negative,
        queries=request.queries,
        weights=request.weights,
        prior_mm=request.prior_mm,
        top=TOP_REGIONS,
    )
    found = answer(asked, cancelled)
    scale = ScoreScale(found.heat.data[found.heat.inside])
    return HeatResult(
        found.heat, found.heat.resample_to(grid), grid, scale, found.regions, request.clicks, request.partial
    )


def propagate(
    landmarks: "tuple[Landmark, ...]",
    source: "FeatureMaps",
    target: "FeatureMaps",
    weights: Any,
    prior_mm: float | None,
    report: Report,
    cancelled: Cancelled,
) -> "FollowUp":
    from coralbay_core import matching

    return matching.propagate(
        landmarks, source, target, weights=weights, prior_mm=prior_mm, progress=report, cancelled=cancelled
    )


def mirror(
    features: "FeatureMaps",
    position_mm: tuple[float, ...],
    plane: "Midplane | None",
    weights: Any,
    grid: Grid,
    report: Report,
    cancelled: Cancelled,
) -> "tuple[Midplane, SideBySide, NDArray[np.float32]]":
    from coralbay_core.similarity.symmetry import compare_sides, find_midplane

    plane = plane or find_midplane(features)
    sides = compare_sides(features, position_mm, plane=plane, weights=weights)
    return plane, sides, sides.heat.resample_to(grid)
