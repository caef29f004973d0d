"""From the scanner's grid and Hounsfield units to the input of an encoder, and back."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .. import geometry
from ..body_mask import body_mask
from ..resampling import resample, resample_blocks
from ..volume import Grid

__all__ = ["body_mask", "model_grid", "resample", "resample_blocks", "to_unit"]

OBLIQUE_DEGREES = 1.0
# A remainder of the volume below this part of a model voxel does not get a voxel of its own.
_SLIVER = 0.01


def model_grid(grid: Grid, spacing_mm: float | ArrayLike = 1.5) -> Grid:
    """Make the model grid of a volume, on which an encoder computes.

    It shares the low edges of the volume, not the centers of its first voxels, and covers all of it: the last cell of
    an axis may reach beyond the volume. Its axes are S, P, L, whatever those of the volume are: an encoder must not see
    a patient mirrored. A volume that is rotated or sheared by more than 1 degree gets a grid along the axes of the
    world instead that covers it like a box.

    Parameters
    ----------
    grid : Grid
    spacing_mm : float or three floats
        Along z, y, x.
    """
    spacing = np.broadcast_to(np.asarray(spacing_mm, float), 3)
    if not geometry.is_axis_aligned(grid.affine, OBLIQUE_DEGREES):
        return _box_around(grid, spacing)
    turned = grid.orientation.grid
    ratio = spacing / turned.spacing_mm
    return Grid(_cells(np.asarray(turned.shape) / ratio), geometry.coarsen(turned.affine, ratio))


def to_unit(hu: NDArray, window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """Scale HU so that the window becomes [0, 1], and clip them to it."""
    low, high = window_hu
    if not low < high:
        raise InputError("empty HU window", found=f"{low}..{high}", expected="low < high")
    unit = np.subtract(hu, low, dtype=np.float32)
    unit /= np.float32(high - low)
    return np.clip(unit, 0, 1, out=unit)


def _cells(extent: NDArray) -> tuple[int, int, int]:
    z, y, x = (max(1, int(np.ceil(n - _SLIVER))) for n in extent)
    return z, y, x


def _box_around(grid: Grid, spacing: NDArray) -> Grid:
    low, high = grid.bounds_mm
    right, anterior, superior = np.eye(3)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([superior, -anterior, -right], 1) * spacing
    affine[:3, 3] = high[0], high[1], low[2]
    # So far index 0 lies on the corner of the box; its center is half a voxel further in.
    return Grid(_cells((high - low)[::-1] / spacing), affine @ geometry.translate(0.5))
