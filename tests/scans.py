"""Small scans to work on."""

import numpy as np

from coralbay_core.spatial import Grid, LabelVolume


def cut(volume, centre_mm, half_mm=45.0):
    """A cube of a volume or label map around a world position."""
    middle, reach = volume.grid.to_index(centre_mm), half_mm / volume.grid.spacing_mm
    low = np.maximum(middle - reach, 0).astype(int)
    high = np.minimum(middle + reach + 1, volume.shape).astype(int)
    part = volume.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.to_world(low)
    extra = {"names": volume.names} if isinstance(volume, LabelVolume) else {}
    return type(volume)(np.ascontiguousarray(part), Grid(part.shape, affine), name="belly", **extra)
