"""Brush with a radius in mm: strokes of the mouse to voxels."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.spatial import Grid


def paint(
    data: NDArray, grid: Grid, points_mm: ArrayLike, radius_mm: float, value: int, through: int | None = None
) -> None:
    """Set all voxels along a line to a value, in place.

    Parameters
    ----------
    data : (z, y, x) integer array
        On `grid`; parts of the line outside of it are ignored.
    grid : Grid
    points_mm : (n, 3) array
        Corners of the line, world mm; one point paints a dot.
    radius_mm : float
        Of the brush; at least the voxel under each point is painted.
    value : int
        0 erases.
    through : int, optional
        Array axis that the brush is flat along, so that it stays within a slice; by default it is a ball.
    """
    centers = grid.to_index(_dense(np.asarray(points_mm, float).reshape(-1, 3), radius_mm, grid))
    spacing = grid.spacing_mm
    reach = np.maximum(radius_mm / spacing, 0.5)
    if through is not None:
        centers[:, through] = np.rint(centers[:, through])
        reach[through] = 0
    offsets = _offsets(reach, spacing, radius_mm)
    base = np.rint(centers).astype(int)
    cells = base[:, None] + offsets
    away = (cells - centers[:, None]) * spacing
    near = (np.linalg.norm(away, axis=-1) <= radius_mm + 1e-6) | ~offsets.any(-1)
    inside = near & ((cells >= 0) & (cells < grid.shape)).all(-1)
    data[tuple(cells[inside].T)] = value


def _dense(points: NDArray, radius_mm: float, grid: Grid) -> NDArray:
    """Return points along the line, dense enough for brush marks to overlap."""
    step = max(radius_mm / 2, float(grid.spacing_mm.min()) / 2)
    parts = [points[:1]]
    for start, end in pairwise(points):
        count = max(1, int(np.ceil(np.linalg.norm(end - start) / step)))
        parts.append(start + (end - start) * (np.arange(1, count + 1) / count)[:, None])
    return np.unique(np.concatenate(parts), axis=0)


def _offsets(reach: NDArray, spacing: NDArray, radius_mm: float) -> NDArray[np.int_]:
    """Return index offsets that a brush may cover around its center voxel."""
    ranges = [np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1) for r in reach]
    steps = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    # Half a voxel more: the middle of the brush lies anywhere in its voxel.
    return steps[np.linalg.norm(steps * spacing, axis=1) <= radius_mm + np.linalg.norm(spacing) / 2]
