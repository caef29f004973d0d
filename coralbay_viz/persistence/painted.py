"""Painted voxels as plain values and arrays, and back."""

from typing import Any

import numpy as np

from coralbay_core.spatial import Grid, LabelVolume

from ..model.strokes import PaintedVoxels
from .session_file import Arrays


def painted_content(painted: PaintedVoxels) -> tuple[dict[str, Any], Arrays]:
    """Return painted voxels as plain values and arrays."""
    names = {str(value): name for value, name in painted.names.items()}
    content = {"shape": painted.grid.shape, "affine": painted.grid.affine.tolist(), "names": names}
    arrays = {"index": painted.index.astype(np.int64), "value": painted.values.astype(np.int64)}
    return content | {"dtype": str(painted.values.dtype)}, arrays


def labels_from(content: dict[str, Any], arrays: Arrays, like: tuple[Grid, ...]) -> LabelVolume:
    """Return labels from plain values and arrays.

    The grid must be one of those of the scan, so that a file cannot choose how much memory is allocated.

    Raises
    ------
    ValueError, KeyError
        For content that `painted_content` did not write.
    """
    index, value, dtype = arrays["index"], arrays["value"], np.dtype(str(content["dtype"]))
    shape = tuple(content["shape"])
    grid = next((g for g in like if g.shape == shape and np.allclose(g.affine, content["affine"], atol=1e-3)), None)
    if grid is None or dtype.kind not in "iu" or index.dtype != np.int64 or value.dtype != np.int64:
        raise ValueError("strokes do not lie on the scan's grid")
    size, limits = int(np.prod(grid.shape)), np.iinfo(dtype)
    if index.shape != value.shape or index.ndim != 1 or (len(index) and not 0 <= index.min() <= index.max() < size):
        raise ValueError("strokes lie outside the scan")
    if len(value) and not limits.min <= value.min() <= value.max() <= limits.max:
        raise ValueError("stroke values are out of range")
    data = np.zeros(size, dtype)
    data[index] = value
    names = {int(key): str(name) for key, name in content["names"].items()}
    return LabelVolume(data.reshape(grid.shape), grid, "strokes", names=names)
