"""Smooth maps from positions of one scan to positions of another: an affine and a displacement on a coarse grid."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..features.feature_maps import sample_trilinear
from ..spatial import Grid, geometry
from ..spatial.geometry import Affine
from ..spatial.resampling import resample

LOOSE_MM = 6.0
"""Spacing at which a map is evaluated before it is interpolated to the voxels of a scan: it is smoother than that."""


@dataclass(frozen=True, eq=False)
class DisplacementMap:
    """A map of world mm to world mm: ``after(q + shift(q))`` with ``q = before(position)``.

    Parameters
    ----------
    before : (4, 4) array
        Applied first.
    grid : Grid
        In the space between the two affines.
    shift_mm : (3, z, y, x) float32 array
        RAS+ mm on `grid`, interpolated linearly and continued beyond it.
    after : (4, 4) array
        Applied last.
    """

    before: Affine
    grid: Grid
    shift_mm: NDArray[np.float32]
    after: Affine

    def __call__(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Map positions (..., 3)."""
        between = geometry.apply(self.before, position_mm)
        flat = between.reshape(-1, 3)
        moved = flat + sample_trilinear(self.shift_mm, self.grid.to_index(flat))
        return geometry.apply(self.after, moved).reshape(between.shape)

    def on(self, grid: Grid) -> NDArray[np.float32]:
        """Displacement at the cells of a grid, (3, z, y, x), RAS+ mm."""
        return loosely(lambda position_mm: self(position_mm) - position_mm, grid)

    @cached_property
    def jacobian(self) -> NDArray[np.float64]:
        """Determinant of the map's derivative at the cells of `grid`, (z, y, x); where it is not positive, it folds."""
        linear = self.grid.affine[:3, :3]
        local = np.linalg.inv(linear)
        # Derivative along the array's axes, turned to world axes by the inverse of the grid's.
        along = np.stack([np.stack(np.gradient(part), -1) for part in self.shift_mm.astype(np.float64)], -2)
        inner = np.linalg.det(np.eye(3) + along @ local)
        return inner * np.linalg.det(self.before[:3, :3]) * np.linalg.det(self.after[:3, :3])


def loosely(values: Callable[[NDArray[np.float64]], NDArray], grid: Grid) -> NDArray[np.float32]:
    """Evaluate a smooth function every few millimeters and interpolate it to the cells of a grid.

    Parameters
    ----------
    values : callable
        Positions (N, 3), world mm, to values (N, K).
    grid : Grid

    Returns
    -------
    (K, z, y, x) float32 array
    """
    steps = np.maximum(1, np.floor(LOOSE_MM / grid.spacing_mm)).astype(int)
    shape = tuple(int(np.ceil((n - 1) / s)) + 1 for n, s in zip(grid.shape, steps, strict=True))
    loose = Grid(shape, grid.affine @ geometry.scale(steps))  # type: ignore[arg-type]
    found = np.ascontiguousarray(values(loose.cell_positions(np.ones(loose.shape, bool))).T, np.float32)
    found = found.reshape(-1, *loose.shape)
    if np.all(steps == 1):
        return found
    return np.stack([resample(part, loose, grid) for part in found])
