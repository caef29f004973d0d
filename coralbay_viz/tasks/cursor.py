"""The matching position in another scan, and the heat map under the mouse pointer."""

from typing import TYPE_CHECKING, Any

from ..jobs import JobContext
from ..model.clicks import Clicks, Point
from ..model.grids import overlay_grid, viewing_grid
from ..model.results import HeatResult

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import Match
    from coralbay_core.spatial import Volume

HOVER_STRIDE = 8
"""Finest stage that is used while the mouse moves: the heat map must appear before the pointer has moved on."""

HOVER_SPACING_MM = 6.0


def match(source: "FeatureMaps", target: "FeatureMaps", position_mm: Point, weights: Any) -> "Match":
    """Find the position of another scan that corresponds to a position; at once if the scans were aligned before."""
    from coralbay_core.matching import Deformation, aligned_match, best_match, known_alignment

    known = known_alignment(source, target)
    if isinstance(known, Deformation):
        return aligned_match(known, position_mm)
    return best_match(source, target, position_mm, weights=weights)


def coarse_part(features: "FeatureMaps") -> "FeatureMaps":
    """Return the coarse stages, or the coarsest one where all are finer."""
    return features.select_stages([s for s in features.strides if s >= HOVER_STRIDE] or [features.strides[-1]])


def hover(
    features: "FeatureMaps",
    position_mm: Point,
    weights: dict[int, float] | None,
    volume: "Volume",
    is_partial: bool,
    context: JobContext,
) -> HeatResult:
    """Compute a coarse heat map of one position."""
    from coralbay_core.matching import SimilarityRequest, answer

    coarse = coarse_part(features)
    chosen = {s: w for s, w in (weights or {}).items() if s in coarse.strides and w} or None
    asked = SimilarityRequest(target=coarse, positive_mm=position_mm, weights=chosen, top=0)
    grid = overlay_grid(viewing_grid(volume.grid), HOVER_SPACING_MM)
    return HeatResult.of(answer(asked, context.cancelled), grid, Clicks((position_mm,)), is_partial)
