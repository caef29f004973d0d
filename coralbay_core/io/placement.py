"""Voxels of a part of an image, on the grid of the image."""

import numpy as np
from numpy.typing import NDArray

from ..spatial import Grid, geometry
from . import checks

_WITHIN_VOXELS = 0.05


def placed(data: NDArray, grid: Grid, target: Grid, where: object) -> tuple[NDArray, tuple[str, ...]]:
    """Put an array on a larger, smaller or shifted grid with the same voxels; 0 elsewhere.

    Parameters
    ----------
    data : integer array
        On `grid`.
    grid, target : Grid
        Their voxels must coincide where they overlap. The axes may have another order or direction.
    where : object
        For errors.

    Returns
    -------
    data : integer array on `target`
    notes : tuple of str
        Labeled voxels that lie outside of it.

    Raises
    ------
    InputError
        If the voxels do not coincide.
    """
    turned, goal = grid.orientation, target.orientation
    own, wanted = turned.grid, goal.grid
    data = turned.from_file(data)
    first = wanted.to_index(own.to_world((0, 0, 0)))
    start = np.rint(first).astype(int)
    cut = Grid(own.shape, wanted.affine @ geometry.translate(start))
    checks.require_same_grid(own, cut, where, _WITHIN_VOXELS)
    low, high = np.maximum(start, 0), np.minimum(start + own.shape, wanted.shape)
    made = np.zeros(wanted.shape, data.dtype)
    inside = np.zeros_like(data)
    if (high > low).all():
        there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        here = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        made[there] = data[here]
        inside = data[here]
    lost = int(np.count_nonzero(data)) - int(np.count_nonzero(inside))
    notes = (f"{lost} labeled voxels lie outside of the scan and were left out",) if lost else ()
    return goal.to_file(made), notes
