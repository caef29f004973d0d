"""Ray casting: the position in the scan that a click in a 3-D view selects."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.spatial import Grid

if TYPE_CHECKING:
    from ..model.scan import Scan

# Air and foam are below, skin and what lies under it above.
SURFACE_HU = -300.0
ATTENUATION = 0.02
"""Rate at which napari's 3-D view of a CT dims what lies behind: a skull then looks like one."""


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


def highest(values: NDArray, grid: Grid, origin_mm: ArrayLike, direction: ArrayLike) -> tuple[NDArray, float] | None:
    """Return world mm and value of the highest voxel on a line, or None if the line misses the grid."""
    places = voxels_along_ray(grid, origin_mm, direction)
    if not len(places):
        return None
    found = values[tuple(places.T)]
    best = int(found.argmax())
    return grid.to_world(places[best]), float(found[best])


def brightest_drawn(
    hu: NDArray, counts: NDArray[np.bool_], limits_hu: tuple[float, float], step_voxels: float
) -> int | None:
    """Return the sample of a ray that an attenuated maximum projection draws, or None where nothing counts.

    Parameters
    ----------
    hu : (n,) array
        Along the ray, the nearest first.
    counts : (n,) bool array
        Samples that may be chosen; all of them attenuate.
    limits_hu : (float, float)
        HU drawn black and white: a sample dims what is behind it by its share of them.
    step_voxels : float
        Distance between samples.
    """
    if not counts.any():
        return None
    low, high = limits_hu
    passed = np.cumsum(np.clip((hu - low) / max(high - low, 1e-6), 0, 1)) * step_voxels
    drawn = np.where(counts, hu * np.exp(-ATTENUATION * (passed - 1)), -np.inf)
    return int(drawn.argmax())


def place_on_ray(
    scan: "Scan",
    threshold: float | None,
    limits_hu: tuple[float, float],
    origin_mm: ArrayLike,
    direction: ArrayLike,
) -> NDArray[np.float64] | None:
    """Return the position on a ray that a click in a 3-D view selects, or None if the ray misses the body.

    It is what the picture shows there: the maximum of a visible heat map, else the brightest place of the projection.

    Parameters
    ----------
    scan : Scan
    threshold : float, optional
        Score from which on the heat map is shown.
    limits_hu : (float, float)
        HU drawn black and white.
    origin_mm, direction : (3,) arrays
        A point of the ray in world mm, and its direction, away from the viewer.
    """
    if scan.heat is not None and threshold is not None:
        lit = highest(scan.heat.shown, scan.heat.grid, origin_mm, direction)
        if lit is not None and lit[1] >= threshold:
            return lit[0]
    grid = scan.volume.grid
    places = voxels_along_ray(grid, origin_mm, direction)
    if not len(places):
        return None
    hu = scan.volume.data[tuple(places.T)].astype(np.float64)
    chosen = brightest_drawn(hu, _in_body(scan, places, hu), limits_hu, _step_voxels(places))
    return None if chosen is None else grid.to_world(places[chosen])


def _in_body(scan: "Scan", places: NDArray[np.intp], hu: NDArray) -> NDArray[np.bool_]:
    """Whether voxels belong to the body; before features are there, whether they are denser than air."""
    if scan.features is None:
        return hu > SURFACE_HU
    body, grid = scan.features.body, scan.features.grid
    cells = np.rint(grid.to_index(scan.volume.grid.to_world(places))).astype(int)
    inside = ((cells >= 0) & (cells < np.array(body.shape))).all(1)
    cells = cells.clip(0, np.array(body.shape) - 1)
    return inside & body[tuple(cells.T)]


def _step_voxels(places: NDArray[np.intp]) -> float:
    return float(np.linalg.norm(places[-1] - places[0])) / max(len(places) - 1, 1)
