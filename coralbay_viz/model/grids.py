"""Display grids: of the scan, of overlays, of labels, of single slices."""

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike

from coralbay_core.spatial import Grid, Volume, geometry
from coralbay_core.spatial.geometry import Affine

from . import palette

OVERLAY_SPACING_MM = 3.0
LABEL_SPACING_MM = 1.5
_MAX_VIEW_VOXELS = 256**3


def is_sliceable(grid: Grid) -> bool:
    """Whether napari can slice this grid as it is.

    napari draws a rotated or sheared array as if it were axis-aligned; the displacement must stay below 1/4 voxel.
    """
    straight = _straightened(grid)
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij"), -1).reshape(-1, 3)
    moved = np.abs(grid.to_world(corners) - geometry.apply(straight, corners)).max()
    return bool(moved <= 0.25 * grid.spacing_mm.min() + 1e-9)


def shown_affine(grid: Grid) -> Affine:
    """Return the affine to RAS+ mm as a viewer shows the grid: exactly axis-aligned if the grid is, up to rounding."""
    return _straightened(grid) if is_sliceable(grid) else grid.affine


def viewing_grid(grid: Grid) -> Grid:
    """Return the grid itself or, if napari cannot slice it, an axis-aligned box around it at about its spacing."""
    if is_sliceable(grid):
        return grid
    low, high = grid.bounds_mm
    extent = high - low
    # An isotropic box: slices of an oblique scan share their spacing with no world axis.
    spacing = max(float(grid.spacing_mm.min()), float(np.prod(extent) / _MAX_VIEW_VOXELS) ** (1 / 3))
    size = np.ceil(extent / spacing - 1e-6).astype(int)
    affine = np.zeros((4, 4))
    # Index (z, y, x) grows to S, P, L from the corner that is lowest, most anterior and rightmost.
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing, -spacing, -spacing
    affine[:, 3] = high[0] - spacing / 2, high[1] - spacing / 2, low[2] + spacing / 2, 1
    return Grid((int(size[2]), int(size[1]), int(size[0])), affine)


# Resampling takes seconds: the job that opens a scan does it ahead, and the window finds it here.
_shown: "WeakKeyDictionary[Volume, Volume]" = WeakKeyDictionary()


def viewing_volume(volume: Volume) -> Volume:
    """Return the volume as a viewer shows it; queries use the volume itself with its true affine."""
    if is_sliceable(volume.grid):
        return volume
    if volume not in _shown:
        _shown[volume] = _straight(volume)
    return _shown[volume]


def _straight(volume: Volume) -> Volume:
    grid = viewing_grid(volume.grid)
    from coralbay_core.spatial.resampling import resample

    data = np.rint(resample(volume.data, volume.grid, grid, order=1, fill=float(palette.RANGE_HU[0])))
    # Metal and other modalities may have values that 16 bits do not hold.
    data = data.astype(np.int16 if np.abs(data).max() <= np.iinfo(np.int16).max else np.float32, copy=False)
    return replace(volume, data=data, grid=grid, source=None)


def overlay_grid(grid: Grid, spacing_mm: float = OVERLAY_SPACING_MM) -> Grid:
    """Return a grid of the same box with at least a given spacing, for smooth maps: fast to compute and draw."""
    ratio = np.maximum(spacing_mm / grid.spacing_mm, 1)
    shape = tuple(max(1, int(np.ceil(n / r - 1e-6))) for n, r in zip(grid.shape, ratio, strict=True))
    return Grid(shape, geometry.coarsen(grid.affine, ratio))  # type: ignore[arg-type]


def planes_at(grid: Grid, position_mm: ArrayLike) -> tuple[Grid, ...]:
    """Return the three slices of a grid, one voxel thick, nearest to a world position."""
    index = np.clip(np.rint(grid.to_index(position_mm)), 0, np.asarray(grid.shape) - 1)
    planes = []
    for axis in range(3):
        start, shape = np.zeros(3), list(grid.shape)
        start[axis], shape[axis] = index[axis], 1
        planes.append(Grid(tuple(shape), grid.affine @ geometry.translate(start)))  # type: ignore[arg-type]
    return tuple(planes)


def _straightened(grid: Grid) -> Affine:
    """Return the affine with each array axis rotated onto its nearest world axis, about the center of the grid."""
    axes, signs = geometry.nearest_axes(grid.affine)
    straight = np.eye(4)
    straight[:3, :3] = 0
    straight[axes, np.arange(3)] = signs * np.abs(grid.affine[axes, np.arange(3)])
    center = (np.asarray(grid.shape) - 1) / 2
    straight[:3, 3] = grid.to_world(center) - straight[:3, :3] @ center
    return straight
