"""Checkerboard of two arrays on one grid, to see how well they fit at the borders of its squares."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .volume import Grid


def checkerboard(first: NDArray, second: NDArray, grid: Grid, square_mm: float) -> NDArray:
    """Take two arrays in turns, in cubes along the axes of their grid: squares in each slice along an axis.

    Parameters
    ----------
    first, second : (z, y, x) arrays
        On `grid`. The first one has the cube at index 0.
    grid : Grid
    square_mm : float
        Edge length of the cubes; at least a voxel along each axis.

    Returns
    -------
    (z, y, x) array of the type of `first`
    """
    if not (first.shape == second.shape == grid.shape):
        raise InputError("arrays do not fit their grid", found=f"{first.shape}, {second.shape}", expected=grid.shape)
    if not (np.isfinite(square_mm) and square_mm > 0):
        raise InputError("no size of squares", found=square_mm, expected="a number of mm above 0")
    z, y, x = (
        (np.arange(n) // max(1, round(square_mm / step))).astype(np.uint8) & 1
        for n, step in zip(grid.shape, grid.spacing_mm, strict=True)
    )
    made = np.array(first)
    for number, plane in enumerate(made):
        other = (y[:, None] ^ x ^ z[number]).astype(bool)
        plane[other] = second[number][other]
    return made
