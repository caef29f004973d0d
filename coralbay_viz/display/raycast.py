"""Ray casting: the position in the scan that a click in a 3-D view selects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.spatial import Grid

if TYPE_CHECKING:
    from ..model.scan import Scan

# Air and foam are below, skin and what lies under it above.
SURFACE_HU = -300.0


def voxels_along_ray(grid: Grid, origin_mm: ArrayLike, direction: ArrayLike) -> NDArray[np.intp]:
    """Return the voxels along a line, in order.

    Parameters
    ----------
    grid : Grid
    origin_mm : (3,) array
        World mm of any point of the line.
    direction : (3,) array
        View direction in world axes, of any length.

    Returns
    -------
    (n, 3) int array
        Indices without repetition; empty if the line misses the grid.
    """
    start = grid.to_index(np.asarray(origin_mm, float))
    step = grid.to_index(np.asarray(origin_mm, float) + np.asarray(direction, float)) - start
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the line crosses the faces of the box, counted in steps; a line along a face has 0/0 there.
        sides = (np.array([[-0.5] * 3, np.array(grid.shape) - 0.5]) - start) / step
    inside = (start >= -0.5) & (start <= np.array(grid.shape) - 0.5)
    if not inside[step == 0].all():
        return np.zeros((0, 3), np.intp)
    sides = sides[:, step != 0]
    first, last = np.sort(sides, axis=0)[0].max(), np.sort(sides, axis=0)[1].min()
    if not first < last:
        return np.zeros((0, 3), np.intp)
    count = int(np.ceil((last - first) * np.abs(step).max() * 2)) + 1
    places = np.rint(start + np.linspace(first, last, count)[:, None] * step).astype(np.intp)
    places = places.clip(0, np.array(grid.shape) - 1)
    return places[np.r_[True, (places[1:] != places[:-1]).any(1)]]


def first_above(
    values: NDArray, grid: Grid, threshold: float, origin_mm: ArrayLike, direction: ArrayLike
) -> NDArray | None:
    """Return world mm of the first voxel above a threshold on a line, or None if there is none."""
    places = voxels_along_ray(grid, origin_mm, direction)
    hits = np.flatnonzero(values[tuple(places.T)] > threshold)
    return grid.to_world(places[hits[0]]) if len(hits) else None


def highest(values: NDArray, grid: Grid, origin_mm: ArrayLike, direction: ArrayLike) -> tuple[NDArray, float] | None:
    """Return world mm and value of the highest voxel on a line, or None if the line misses the grid."""
    places = voxels_along_ray(grid, origin_mm, direction)
    if not len(places):
        return None
    found = values[tuple(places.T)]
    best = int(found.argmax())
    return grid.to_world(places[best]), float(found[best])


def pick_point(
    origin_mm: ArrayLike,
    direction: ArrayLike,
    surfaces: Sequence[tuple[NDArray, Grid, float]],
    heat: tuple[NDArray, Grid, float] | None = None,
) -> NDArray | None:
    """Return the position that a click in a 3-D view selects: the maximum of a visible heat map, else a surface.

    Parameters
    ----------
    origin_mm, direction : (3,) arrays
        Of the line, world mm.
    surfaces : sequence of tuples
        Opaque volumes, the best first: values, grid, and threshold. The first one that the line meets is used.
    heat : tuple, optional
        Values, grid, and the lowest visible value.

    Returns
    -------
    (3,) array or None
        World mm.
    """
    if heat is not None:
        values, grid, threshold = heat
        best = highest(values, grid, origin_mm, direction)
        if best is not None and best[1] >= threshold:
            return best[0]
    for values, grid, threshold in surfaces:
        place = first_above(values, grid, threshold, origin_mm, direction)
        if place is not None:
            return place
    return None


def place_on_ray(
    scan: "Scan", threshold: float | None, origin_mm: ArrayLike, direction: ArrayLike
) -> NDArray[np.float64] | None:
    """Return the position on a ray that a click in a 3-D view selects, or None if the ray misses the body.

    Parameters
    ----------
    scan : Scan
    threshold : float, optional
        Score from which on the heat map is shown.
    origin_mm, direction : (3,) arrays
        A point of the ray in world mm, and its direction.
    """
    surfaces = [(scan.volume.data, scan.volume.grid, SURFACE_HU)]
    if scan.features is not None:
        # The table under the patient is denser than air, too.
        surfaces.insert(0, (scan.features.body, scan.features.grid, 0.0))
    heat = None if scan.heat is None or threshold is None else (scan.heat.shown, scan.heat.grid, threshold)
    return pick_point(origin_mm, direction, surfaces, heat)
