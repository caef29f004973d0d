"""Small scans to work on."""

import numpy as np

from coralbay_core.spatial import Grid, LabelVolume, Volume, geometry

SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def ramp_volume(shape=(150, 110, 130), spacing=(1.5, 1.5, 1.5), origin=(40.0, 25.0, -60.0)) -> Volume:
    """HU rises linearly with the world position, so a mean over a cell is the value at its center."""
    affine = geometry.translate(origin) @ SPL @ geometry.scale(spacing)
    grid = Grid(shape, affine)
    position = grid.to_world(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    return Volume((position @ (1.0, 0.7, 1.3)).astype(np.float32), grid)


def cut(volume, center_mm, half_mm=45.0):
    """A cube of a volume or label map around a world position."""
    middle, reach = volume.grid.to_index(center_mm), half_mm / volume.grid.spacing_mm
    low = np.maximum(middle - reach, 0).astype(int)
    high = np.minimum(middle + reach + 1, volume.shape).astype(int)
    part = volume.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.to_world(low)
    extra = {"names": volume.names} if isinstance(volume, LabelVolume) else {}
    return type(volume)(np.ascontiguousarray(part), Grid(part.shape, affine), name="belly", **extra)


def shift(r, a, s):
    """Addition to an affine that moves a grid, mm."""
    moved = np.zeros((4, 4))
    moved[:3, 3] = r, a, s
    return moved
