"""Heat maps of clicks and queries, propagated landmarks and the comparison of both sides of the body."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid

from ..jobs import JobContext
from ..model.clicks import Clicks
from ..model.results import HeatResult

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import FollowUp, Landmark, SimilarityRequest
    from coralbay_core.similarity.symmetry import Midplane, SideBySide


TOP_REGIONS = 10


@dataclass(frozen=True, eq=False)
class HeatRequest:
    """Input of a heat map, frozen when the job starts.

    Parameters
    ----------
    search : SimilarityRequest
    clicks : Clicks
        The clicks in it.
    partial : bool
        Whether only the first features of a scan are available yet.
    """

    search: "SimilarityRequest"
    clicks: Clicks
    partial: bool = False


def heat(request: HeatRequest, grid: Grid, context: JobContext) -> HeatResult:
    """Compute the heat map of clicks and saved queries."""
    from coralbay_core.matching import answer

    return HeatResult.of(answer(request.search, context.cancelled), grid, request.clicks, request.partial)


def propagate(
    landmarks: "tuple[Landmark, ...]",
    source: "FeatureMaps",
    target: "FeatureMaps",
    weights: Any,
    prior_mm: float | None,
    context: JobContext,
) -> "FollowUp":
    """Find landmarks of a baseline scan in a follow-up scan."""
    from coralbay_core import matching

    return matching.propagate(
        landmarks,
        source,
        target,
        weights=weights,
        prior_mm=prior_mm,
        progress=context.progress,
        cancelled=context.cancelled,
    )


def mirror(
    features: "FeatureMaps",
    position_mm: tuple[float, ...],
    plane: "Midplane | None",
    weights: Any,
    grid: Grid,
    context: JobContext,
) -> "tuple[Midplane, SideBySide, NDArray[np.float32]]":
    """Compare a position with its mirror image."""
    from coralbay_core.similarity.symmetry import compare_sides, find_midplane

    plane = plane or find_midplane(features)
    context.check_cancelled()
    sides = compare_sides(features, position_mm, plane=plane, weights=weights)
    return plane, sides, sides.heat.resample_to(grid)
