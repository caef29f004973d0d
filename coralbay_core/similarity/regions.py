"""The best distinct regions of a heat map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spatial import Grid
from ..util.arguments import checked
from .heat import HeatMap


@dataclass(frozen=True)
class Region:
    """A peak of a heat map.

    Parameters
    ----------
    position_mm : tuple of float
        Of the peak, RAS+.
    score : float
    size_ml : float
        Volume of its cells: see `top_regions`.
    """

    position_mm: tuple[float, float, float]
    score: float
    size_ml: float


@checked
def top_regions(
    heat: HeatMap, k: int = 10, *, distance_mm: float = 15.0, level: float = 0.7, least: float = 0.5
) -> list[Region]:
    """Find the best `k` distinct regions, best first; fewer if no others score near the best.

    A peak is skipped if it lies within `distance_mm` of a better one or inside its region. Cells belong to the best
    peak that they are connected to.

    Parameters
    ----------
    heat : HeatMap
    k : int
    distance_mm : float
    level : float
        How far up from the body's median to its own peak a cell must score to belong to the peak's region.
    least : float
        How far up from the body's median to the best peak another peak must score to be listed.
    """
    return regions_of(heat.data, heat.inside, heat.grid, k, distance_mm=distance_mm, level=level, least=least)


def regions_of(
    data: NDArray[np.float32],
    inside: NDArray[np.bool_],
    grid: Grid,
    k: int,
    *,
    distance_mm: float = 15.0,
    level: float = 0.7,
    least: float = 0.5,
) -> list[Region]:
    """Find regions as `top_regions` does, in scores (z, y, x) on a grid and the mask of its cells of the body."""
    from scipy import ndimage

    scores = np.where(inside, data, -np.inf)
    median = float(np.median(data[inside]))
    lowest = median + least * (float(scores.max()) - median)
    peaks = np.flatnonzero((scores == ndimage.maximum_filter(scores, 3)) & (scores >= lowest))
    free = np.ones(scores.shape, bool)
    found: list[Region] = []
    for peak in peaks[np.argsort(-scores.flat[peaks], kind="stable")]:
        index = np.unravel_index(peak, scores.shape)
        position = grid.to_world(index)
        score = float(scores[index])
        if not free[index] or any(np.linalg.norm(position - region.position_mm) < distance_mm for region in found):
            continue
        labels, _ = ndimage.label(free & (scores >= min(score, median + level * (score - median))))
        own = labels == labels[index]
        free &= ~own
        found.append(Region(tuple(position.tolist()), score, float(own.sum() * grid.voxel_ml)))
        if len(found) == k:
            break
    return found
