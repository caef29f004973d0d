"""The clicked structure: what a click is connected to, by features, HU and place together.

A random walk starts at the clicks and is stopped by borders between organs (`features.cell_graph`); at voxels the HU of
the clicked places count beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.cell_graph import GUIDE_HU, CellGraph, cell_graph
from ..spatial import Grid, Volume
from ..spatial.resampling import BLOCK_VOXELS, resample, resample_blocks
from ..util.arguments import checked
from ..util.cancellation import IsCancelled
from .heat import HeatMap, VoxelTerm

# Weight of the way out of the graph at each cell: how fast the walk fades. Chosen by benchmarks/connectivity.py.
_FADE = 0.003
_FAINTEST = 1e-14
# So many HU away from the clicked places a score falls as much as where the walk is e times rarer.
_HU = 100.0
_PLACE_MM = 30.0
_LOOK = 4.0
# The HU of a click are the mean of the voxels this near.
_AROUND_MM = 2.5
_SPAN = 8.0
"""Scores are exp(-distance / _SPAN), so that they lie in (0, 1] and 1 is the click itself."""
# The border is looked for between these distances from the click.
_NEAREST_BORDER, _FARTHEST_BORDER = 3.0, 4.0
_LEAST_CELLS = 4
_FEW = 20


@dataclass(frozen=True)
class HereWeights:
    """Weights of the parts of a heat map of the clicked structure.

    Parameters
    ----------
    connectivity : float
        Connection by features and HU from cell to cell.
    intensity : float
        Agreement with the HU of the clicked places.
    look : float
        Cosine to the clicked places, as in a search of the whole scan.
    place : float
        Distance from the nearest click.
    """

    connectivity: float = 1.0
    intensity: float = 1.0
    look: float = 0.0
    place: float = 0.0

    def __post_init__(self) -> None:
        values = (self.connectivity, self.intensity, self.look, self.place)
        if not all(0 <= value < float("inf") for value in values) or not any(values):
            raise InputError(
                "unusable weights of the clicked structure", found=values, expected="numbers >= 0, not all 0"
            )


@dataclass(frozen=True, eq=False)
class IntensityTerm(VoxelTerm):
    """Scores of the clicked structure at voxels: those of its cells, and the HU of each voxel.

    Parameters
    ----------
    distance : (z, y, x) float32 array
        Distance of each cell from the clicks without HU, on `grid`; 0 at a click.
    grid : Grid
    guide : Volume
    levels_hu : (N,) array
        HU of the clicked places.
    weight : float
        Of the HU.
    places_mm : (N, 3) array
        The clicked places.
    """

    distance: NDArray[np.float32]
    grid: Grid
    guide: Volume
    levels_hu: NDArray[np.float64]
    weight: float
    places_mm: NDArray[np.float64]

    def blocks(self, target: Grid) -> Iterator[NDArray[np.float32]]:
        """Scores of one slab of the target along z at a time."""
        distances = resample_blocks(self.distance, self.grid, target)
        for (_, distance), hu in zip(distances, _hu_blocks(self.guide, target), strict=True):
            away = hu_distance(hu, self.levels_hu)
            away *= np.float32(self.weight)
            away += distance
            yield _score(away)

    def select(self, mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
        """Connected parts of a mask that hold clicks; the whole mask if it holds none."""
        from scipy import ndimage

        box = ndimage.find_objects(mask.view(np.uint8))
        inside = grid.nearest_index(self.places_mm[grid.contains(self.places_mm)])
        inside = inside[mask[tuple(inside.T)]]
        if not box or not len(inside):
            return mask
        parts, _ = ndimage.label(mask[box[0]])
        wanted = parts[tuple((inside - [cut.start for cut in box[0]]).T)]
        found = np.zeros_like(mask)
        found[box[0]] = np.isin(parts, wanted)
        return found


_drawn: "WeakKeyDictionary[Volume, tuple[Grid, NDArray]]" = WeakKeyDictionary()


def _hu_blocks(guide: Volume, target: Grid) -> Iterator[NDArray[np.float32]]:
    """HU within `GUIDE_HU` on another grid, in the blocks of `resample_blocks`; one block is computed once."""
    if guide.data.flags.writeable or np.prod(target.shape) > BLOCK_VOXELS:
        yield from (_clipped(block) for _, block in resample_blocks(guide.data, guide.grid, target))
        return
    grid, hu = _drawn.get(guide, (None, None))
    if hu is None or grid != target:
        hu = _clipped(resample(guide.data, guide.grid, target))
        _drawn[guide] = target, hu
    yield hu


def _clipped(hu: NDArray) -> NDArray[np.float32]:
    return np.clip(np.asarray(hu, np.float32), *GUIDE_HU)


@checked
def here_map(
    features: FeatureMaps,
    positive: ArrayLike,
    negative: ArrayLike = (),
    *,
    guide: Volume,
    weights: HereWeights | None = None,
    look: HeatMap | None = None,
    cancelled: IsCancelled | None = None,
) -> HeatMap:
    """Compute a heat map of the structure that was clicked: 1 at the clicks, less with every border on the way.

    Parameters
    ----------
    features : FeatureMaps
    positive, negative : (N, 3) arrays
        World mm; negative places stop the walk.
    guide : Volume
        The CT of the features.
    weights : HereWeights, optional
    look : HeatMap, optional
        Similarity to the clicks; needed if it has a weight.
    cancelled : callable, optional
        When it returns true, `Cancelled` is raised.

    Returns
    -------
    HeatMap
        Its `threshold` is the score at which the structure ends: where the sweep over the scores crosses the weakest
        edges for its size, as in local graph clustering (Andersen, Chung, Lang 2006).

    Raises
    ------
    InputError
        Without a positive place.
    OutsideVolumeError
        For a place outside the scan.
    """
    places = [np.asarray(p, float).reshape(-1, 3) for p in (positive, negative)]
    if not len(places[0]):
        raise InputError("no positive point", expected="at least one")
    features.grid.require_inside(np.concatenate(places), where="query point")
    weights = weights or HereWeights()
    graph = cell_graph(features, guide)
    levels = _levels(guide, places[0])
    seeds, stops = (_cells_of(graph, p) for p in places)
    cells = weights.connectivity * _walk_distance(graph, seeds, stops, cancelled)
    if weights.place:
        cells += weights.place / _PLACE_MM * _nearest(graph.grid.cell_positions(graph.index), places[0])
    if weights.look:
        if look is None:
            raise InputError("similarity is missing", expected="`look`, as its weight is not 0")
        cells += weights.look * _LOOK * (1 - look.data[look.inside])
    assert graph.hu is not None, "made with a guide"
    total = cells + weights.intensity * hu_distance(graph.hu, levels)
    cells, total = cells - cells[seeds].min(), total - total[seeds].min()
    term = IntensityTerm(
        graph.scatter(cells, float(cells.max())), graph.grid, guide, levels, weights.intensity, places[0]
    )
    border = float(_score(np.array([_border(graph, total)]))[0])
    return HeatMap(
        _score(graph.scatter(total, float(total.max()))), graph.grid, features, {}, threshold=border, term=term
    )


def hu_distance(hu: NDArray[np.float32], levels_hu: NDArray) -> NDArray[np.float32]:
    """Distance of HU within `GUIDE_HU` from the nearest of several levels, in the unit of the walk's logarithm."""
    nearest = _away(hu, levels_hu[0])
    for level in levels_hu[1:]:
        np.minimum(nearest, _away(hu, level), out=nearest)
    nearest /= np.float32(_HU)
    return nearest


def _away(hu: NDArray[np.float32], level_hu: float) -> NDArray[np.float32]:
    away = hu - np.float32(level_hu)
    return np.abs(away, out=away)


def _score(distance: NDArray) -> NDArray[np.float32]:
    exponent = np.maximum(distance, 0, dtype=np.float32)
    exponent /= np.float32(-_SPAN)
    return np.exp(exponent, out=exponent)


def _levels(guide: Volume, positive: NDArray) -> NDArray[np.float64]:
    """HU around each click."""
    found = []
    for place in positive:
        box, near = guide.grid.ball(place, max(_AROUND_MM, float(guide.grid.spacing_mm.max()) / 2))
        voxels = guide.data[box][near]
        if not len(voxels):
            voxels = guide.data[tuple(guide.grid.nearest_index(place))].reshape(1)
        found.append(np.clip(voxels, *GUIDE_HU).mean())
    # A stroke has thousands of places; nearly equal levels change nothing.
    return np.array(found) if len(found) <= _FEW else np.unique(np.round(found, -1))


def _cells_of(graph: CellGraph, places: NDArray) -> NDArray[np.intp]:
    """Cells of the body at places; for one outside the body the nearest."""
    if not len(places):
        return np.zeros(0, np.intp)
    cells = graph.cells_at(places)
    for number in np.flatnonzero(cells < 0):
        cells[number] = graph.nearest_cell(places[number])
    return cells


def _walk_distance(
    graph: CellGraph, seeds: NDArray[np.intp], stops: NDArray[np.intp], cancelled: IsCancelled | None
) -> NDArray[np.float32]:
    """Negative logarithm of the probability that a walk from a cell ends at a positive place."""
    fixed = np.zeros(len(graph), bool)
    value = np.zeros((len(graph), 1), np.float32)
    fixed[stops] = True
    fixed[seeds], value[seeds] = True, 1
    reached = graph.spread(fixed, value, pull=_FADE, cancelled=cancelled)[:, 0]
    return -np.log(np.maximum(reached, _FAINTEST))


def _nearest(cells: NDArray, places: NDArray) -> NDArray[np.float32]:
    from scipy.spatial import KDTree

    return np.asarray(KDTree(places).query(cells)[0], np.float32)


def _border(graph: CellGraph, distance: NDArray[np.float32]) -> float:
    """Distance at which the cells nearest to the clicks have the weakest edges to the rest, for their surface."""
    near = np.flatnonzero(distance <= _FARTHEST_BORDER)
    order = near[np.argsort(distance[near], kind="stable")]
    count = len(order)
    rank = np.full(len(graph), count, np.intp)
    rank[order] = np.arange(count)
    own = graph.edges[order].tocoo()
    other = rank[own.col]
    # An edge is cut from the moment its first cell is inside until its second one is.
    starts = np.bincount(own.row[other > own.row], own.data[other > own.row], count)
    ends = np.bincount(own.row[other < own.row], own.data[other < own.row], count)
    cut = np.cumsum(starts - ends)
    quality = cut / np.arange(1, count + 1) ** (2 / 3)
    allowed = (distance[order] >= _NEAREST_BORDER) & (np.arange(1, count + 1) >= _LEAST_CELLS)
    if not allowed.any():
        return _FARTHEST_BORDER
    return float(distance[order[int(np.where(allowed, quality, np.inf).argmin())]])
