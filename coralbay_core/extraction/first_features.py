"""First features of a scan: those of a cube around one place, from a cut of the scan that is small enough to be quick.

The windows of an extraction lie where the body of the whole scan is, so none of them can be computed before the whole
scan is on the model grid and its body is found. That takes longer than a window. A cube is cut out instead, and
extracted as if it were a scan. Its features differ from the final ones, most of all near its sides.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..features import FeatureMaps
from ..models.encoder import Encoder
from ..spatial import Volume
from ..util.memory import Budget
from .box_maps import tile_maps
from .extraction_input import ExtractionInput
from .tile_runner import TileRunner
from .tiling import Box, nearest_first

CUBE = 96
"""Side of the cube in voxels of the model grid."""

_LEAST_RATIO = 8
"""Smallest part of a scan, in cubes, for which a cube is worth its time."""


def first_features(
    volume: Volume, encoder: Encoder, strides: Sequence[int], focus_mm: ArrayLike, region: Box, limits: Budget
) -> FeatureMaps | None:
    """Compute features of a cube around a place.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    strides : sequence of int
    focus_mm : (3,) array
        World mm.
    region : Box
        Part of the model grid that will be computed.
    limits : Budget

    Returns
    -------
    FeatureMaps or None
        None where the region is little more than the cube, or where the cube holds no body.
    """
    if np.prod([high - low for low, high in region]) < _LEAST_RATIO * CUBE**3 or not volume.grid.contains(focus_mm):
        return None
    cube = cube_around(volume, focus_mm, CUBE * encoder.preprocessing.spacing_mm)
    scene = ExtractionInput.of(cube, encoder, may_be_air=True)
    needed = scene.hu.nbytes + encoder.working_bytes(scene.lattice.size)
    if not scene.tiles or needed > limits.host_bytes:
        return None
    nearest = nearest_first(scene.lattice, scene.tiles, scene.grid.to_index(np.asarray(focus_mm, float)))[0]
    runner = TileRunner(encoder, scene, tuple(strides), limits.device_bytes)
    ((start, maps),) = next(runner.run([nearest]))
    return tile_maps(start, maps, scene, encoder)


def cube_around(volume: Volume, center_mm: ArrayLike, side_mm: float) -> Volume:
    """Cut a cube along the axes of a volume, without copying; at the ends of the volume it is moved or smaller."""
    shape = np.asarray(volume.shape)
    size = np.clip(np.floor(side_mm / volume.grid.spacing_mm + 1e-6).astype(int), 1, shape)
    middle = volume.grid.to_index(np.asarray(center_mm, float))
    low = np.clip(np.rint(middle - (size - 1) / 2).astype(int), 0, shape - size)
    box = tuple(slice(int(a), int(a + n)) for a, n in zip(low, size, strict=True))
    return replace(volume, data=volume.data[box], grid=volume.grid.crop(box), source=None)
