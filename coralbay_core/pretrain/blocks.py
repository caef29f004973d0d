"""Blocks of volumes and of label volumes, and coarse body masks: array operations shared by all sources."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL = 4
"""Voxels per side of a cell of the coarse body masks from which crop locations are drawn."""


@dataclass(frozen=True, eq=False)
class LabelBlock:
    """Part of a label volume.

    Parameters
    ----------
    data : (z, y, x) integer array
        -1 outside of the volume.
    low : (3,) array
        First cell of the block.
    stride : int
        Voxels per side of a cell.
    """

    data: NDArray
    low: NDArray
    stride: int


def read_block(array: NDArray, low: NDArray, high: NDArray, outside: int) -> NDArray:
    """Read ``array[low:high]`` of a numpy or zarr array; bounds may lie outside of it."""
    block = np.full(np.asarray(high) - low, outside, array.dtype)
    start, stop = np.clip(low, 0, array.shape), np.clip(high, 0, array.shape)
    if (start < stop).all():
        wanted = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        block[tuple(slice(a, b) for a, b in zip(start - low, stop - low, strict=True))] = array[wanted]
    return block


def coarse(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the cells that contain any voxel of a mask."""
    padded = np.pad(mask, [(0, -n % CELL) for n in mask.shape])
    z, y, x = (n // CELL for n in padded.shape)
    return np.asarray(padded.reshape(z, CELL, y, CELL, x, CELL).any((1, 3, 5)))


def label_block(array: NDArray, stride: int, low: NDArray, high: NDArray) -> LabelBlock:
    """Read the cells of a label volume (a signed numpy or zarr array) for the voxels from `low` to before `high`."""
    first, last = np.asarray(low) // stride, -(-np.asarray(high) // stride)
    return LabelBlock(read_block(array, first, last, -1), first, stride)
