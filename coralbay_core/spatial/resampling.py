"""Resampling of arrays to other grids.

Between parallel grids resampling is separable: one small matrix per axis, anti-aliasing folded in. Everything runs in
blocks along z, so that going up to a full CT grid needs little memory beside the result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import geometry
from .geometry import Affine
from .volume import Grid, LabelVolume

BLOCK_VOXELS = 8_000_000
"""Voxels of a block of the result; a smaller one is a single block."""
_SOURCE_BLOCKS = 4
_PLANE_VOXELS = 2_000_000

Block = Callable[[slice], NDArray]


def resample(
    data: NDArray,
    source: Grid,
    target: Grid,
    *,
    order: int = 1,
    fill: float | None = None,
    limits: tuple[float, float] | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Resample an array to the voxel centers of another grid.

    Parameters
    ----------
    data : (z, y, x) array
        On `source`.
    source, target : Grid
    order : int
        0, nearest (for labels: keeps the type), or 1, linear (gives float32), with a Gaussian before it along axes
        that become coarser.
    fill : float, optional
        Value outside the outer edges of `source`. Without it the edge is continued where the grids are parallel, and
        the lowest value is used where they are not.
    limits : pair of float, optional
        With `order` 1, values are clipped to these before they are resampled.
    out : array, optional
        Destination of the result, e.g. a memory map.

    Returns
    -------
    array of ``target.shape``
    """
    if out is None:
        out = np.empty(target.shape, data.dtype if order == 0 else np.float32)
    voxels = _block_voxels(source, target)
    blocks = resample_blocks(data, source, target, order=order, fill=fill, limits=limits, block_voxels=voxels)
    for part, block in blocks:
        out[part] = block
    return out


def labels_on(labels: LabelVolume, grid: Grid) -> NDArray[np.integer]:
    """Return the labels on another grid, 0 outside theirs; on the same grid the array itself."""
    return labels.data if labels.grid == grid else resample(labels.data, labels.grid, grid, order=0, fill=0)


def resample_blocks(
    data: NDArray,
    source: Grid,
    target: Grid,
    *,
    order: int = 1,
    fill: float | None = None,
    limits: tuple[float, float] | None = None,
    block_voxels: int = BLOCK_VOXELS,
) -> Iterator[tuple[slice, NDArray]]:
    """Resample one slab along z at a time, for results that are reduced before they are stored.

    Yields
    ------
    part : slice
        Slices of the target grid.
    block : array of shape ``(part length, y, x)``
    """
    if data.shape != source.shape:
        raise InputError("array and grid differ", found=data.shape, expected=source.shape)
    if order not in (0, 1):
        raise InputError("unknown interpolation", found=order, expected="0 (nearest) or 1 (linear)")
    source_from_target = source.index_from_world @ target.affine
    # Axes of the source in the order of those of the target that they follow.
    axes, _ = geometry.nearest_axes(source_from_target)
    data = data.transpose(axes)
    source_from_target = source_from_target[[*axes, 3]]
    parallel = _is_parallel(source_from_target, target.shape)
    make = _separable_block if parallel else _general_block
    resampler = make(data, source_from_target, target.shape, order, fill, limits)
    depth = max(1, block_voxels // (target.shape[1] * target.shape[2]))
    for start in range(0, target.shape[0], depth):
        part = slice(start, min(start + depth, target.shape[0]))
        yield part, resampler(part)


def _block_voxels(source: Grid, target: Grid) -> int:
    """Voxels of a block of the target; fewer of a much coarser one, since slices of the source become float32."""
    step = max(1e-6, abs(float((source.index_from_world @ target.affine)[0, 0])))
    depth = _SOURCE_BLOCKS * BLOCK_VOXELS / (source.shape[1] * source.shape[2] * step)
    return int(min(BLOCK_VOXELS, max(1, depth) * target.shape[1] * target.shape[2]))


def separable_weights(source: Grid, target: Grid) -> tuple[NDArray, NDArray, NDArray] | None:
    """(target, source) matrix per axis of linear resampling between parallel grids; None if they are not parallel."""
    source_from_target = source.index_from_world @ target.affine
    if not _is_parallel(source_from_target, target.shape):
        return None
    z, y, x = (axis.weights for axis in _axes(source_from_target, source.shape, target.shape))
    return z, y, x


def _is_parallel(source_from_target: Affine, shape: tuple[int, ...], within_voxels: float = 0.05) -> bool:
    """Whether the off-diagonal part moves nothing by more than a fraction of a source voxel."""
    linear = source_from_target[:3, :3]
    off_diagonal = np.abs(linear - np.diag(np.diag(linear)))
    return bool((off_diagonal @ np.asarray(shape, float)).max() < within_voxels)


# --- parallel grids -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Axis:
    """Positions of the target's centers on one axis of the source, in source indices."""

    n_source: int
    position: NDArray[np.float64]

    @property
    def step(self) -> float:
        return float(abs(self.position[1] - self.position[0])) if len(self.position) > 1 else 1.0

    @property
    def nearest(self) -> NDArray[np.intp]:
        # Ties go down, with room for rounding, so that a label never depends on the last bit of an affine.
        return np.clip(np.ceil(self.position - 0.5 - 1e-6), 0, self.n_source - 1).astype(np.intp)

    @property
    def outside(self) -> NDArray[np.bool_]:
        return (self.position < -0.5 - 1e-6) | (self.position > self.n_source - 0.5 + 1e-6)

    @property
    def weights(self) -> NDArray[np.float32]:
        """(target, source) matrix: linear interpolation after a Gaussian if the target is coarser."""
        position = np.clip(self.position, 0, self.n_source - 1)
        low = np.minimum(position.astype(np.intp), max(self.n_source - 2, 0))
        part = position - low
        matrix = np.zeros((len(position), self.n_source))
        rows = np.arange(len(position))
        matrix[rows, low] = 1 - part
        matrix[rows, np.minimum(low + 1, self.n_source - 1)] += part
        return (matrix @ _gaussian(self.n_source, antialias_sigma(self.step))).astype(np.float32)


def antialias_sigma(step: float) -> float:
    """Width in source voxels of the Gaussian that precedes sampling every `step` voxels."""
    return max(0.0, (step - 1) / 2)


def _gaussian(n: int, sigma: float) -> NDArray[np.float64]:
    """(n, n) matrix that smooths an axis and continues its edge values."""
    if sigma < 1e-3:
        return np.eye(n)
    reach = int(np.ceil(4 * sigma))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((n, n))
    columns = np.clip(np.arange(n)[:, None] + offsets, 0, n - 1)
    np.add.at(matrix, (np.arange(n)[:, None], columns), kernel / kernel.sum())
    return matrix


def _axes(source_from_target: Affine, source_shape: tuple[int, ...], target_shape: tuple[int, ...]) -> list[_Axis]:
    scale, offset = np.diag(source_from_target)[:3], source_from_target[:3, 3]
    # The tiny off-diagonal part is averaged over the grid instead of being dropped at its far end.
    middle = (np.asarray(target_shape, float) - 1) / 2
    offset = offset + (source_from_target[:3, :3] - np.diag(scale)) @ middle
    return [
        _Axis(n, s * np.arange(m) + o) for n, m, s, o in zip(source_shape, target_shape, scale, offset, strict=True)
    ]


def _separable_block(
    data: NDArray,
    source_from_target: Affine,
    shape: tuple[int, ...],
    order: int,
    fill: float | None,
    limits: tuple[float, float] | None,
) -> Block:
    axes = _axes(source_from_target, data.shape, shape)
    outside = [axis.outside for axis in axes]
    if order == 0:
        nearest = [axis.nearest for axis in axes]

        def values(part: slice) -> NDArray:
            return data[np.ix_(nearest[0][part], nearest[1], nearest[2])]

    else:
        weights = [axis.weights for axis in axes]

        def values(part: slice) -> NDArray:
            return _apply_weights(data, (weights[0][part], weights[1], weights[2]), limits)

    def block(part: slice) -> NDArray:
        result = values(part)
        if fill is not None:
            result[outside[0][part]] = fill
            result[:, outside[1]] = fill
            result[:, :, outside[2]] = fill
        return result

    return block


def _apply_weights(
    data: NDArray, weights: tuple[NDArray, NDArray, NDArray], limits: tuple[float, float] | None
) -> NDArray[np.float32]:
    """Multiply each axis by its matrix, the one that shrinks most first; only the voxels needed are read."""
    used = [np.flatnonzero(matrix.any(0)) for matrix in weights]
    box = tuple(slice(int(columns[0]), int(columns[-1]) + 1) for columns in used)
    data = data[box]
    matrices = [np.ascontiguousarray(matrix[:, columns]) for matrix, columns in zip(weights, box, strict=True)]
    axes = sorted(range(3), key=lambda i: matrices[i].shape[0] / matrices[i].shape[1])
    if axes[-1] != 0:
        return _product(_as_floats(data, limits), matrices, axes)
    # Some planes at a time: most of the time would go into float voxels in memory that is new to the process.
    planes = np.empty((len(data), *(len(matrix) for matrix in matrices[1:])), np.float32)
    count = max(1, _PLANE_VOXELS // (data.shape[1] * data.shape[2]))
    buffer = np.empty((min(count, len(data)), *data.shape[1:]), np.float32)
    for start in range(0, len(data), count):
        part = data[start : start + count]
        planes[start : start + count] = _product(_as_floats(part, limits, buffer[: len(part)]), matrices, axes[:-1])
    return _along(planes, matrices[0], 0)


def _as_floats(
    data: NDArray, limits: tuple[float, float] | None, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Convert values, and clip them."""
    out = np.empty(data.shape, np.float32) if out is None else out
    np.copyto(out, data, casting="unsafe")
    return out if limits is None else np.clip(out, *limits, out=out)


def _product(data: NDArray[np.float32], matrices: list[NDArray], axes: list[int]) -> NDArray:
    for axis in axes:
        data = _along(data, matrices[axis], axis)
    return data


def _along(data: NDArray, matrix: NDArray, axis: int) -> NDArray:
    """Multiply one axis by a matrix. In torch, whose batched products are many times faster than numpy's."""
    import torch

    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
        return data
    values, factors = torch.from_numpy(np.require(data, requirements=["C", "W"])), torch.from_numpy(matrix)
    if axis == 0:
        return (factors @ values.flatten(1)).view(-1, *values.shape[1:]).numpy()
    return (factors @ values if axis == 1 else values @ factors.T).numpy()


# --- rotated or sheared grids -------------------------------------------------------------------------------------


def _general_block(
    data: NDArray,
    source_from_target: Affine,
    shape: tuple[int, ...],
    order: int,
    fill: float | None,
    limits: tuple[float, float] | None,
) -> Block:
    from scipy import ndimage

    if order and limits is not None:
        data = np.clip(data.astype(np.float32, copy=False), *limits)
    linear, offset = source_from_target[:3, :3], source_from_target[:3, 3]
    background = data.min() if fill is None else fill
    # Steps of the target measured along each axis of the source.
    sigma = [antialias_sigma(float(np.linalg.norm(row))) if order else 0.0 for row in linear]
    # scipy supports neither bool nor float16.
    known = data.astype(np.float32 if data.dtype.kind == "f" else np.uint8) if data.dtype.char in "?e" else data
    if max(sigma) > 1e-3:
        known = ndimage.gaussian_filter(known.astype(np.float32, copy=False), sigma, mode="nearest")

    def block(part: slice) -> NDArray:
        start = offset + linear[:, 0] * part.start
        result = np.empty((part.stop - part.start, *shape[1:]), known.dtype if order == 0 else np.float32)
        ndimage.affine_transform(known, linear, start, result.shape, result, order, mode="nearest")
        result[_outside(linear, start, result.shape, data.shape)] = background
        return result.astype(data.dtype, copy=False) if order == 0 else result

    return block


def _outside(
    linear: NDArray, start: NDArray, shape: tuple[int, ...], source_shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Mask of the voxels of a block that lie beyond the outer edges of the source."""
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    outside = np.zeros(shape, bool)
    tolerance = 1e-3  # float32, to spare memory
    for row, first, n in zip(linear, start, source_shape, strict=True):
        position = (first + row[0] * z)[:, None, None] + (row[1] * y)[:, None] + row[2] * x
        outside |= (position < -0.5 - tolerance) | (position > n - 0.5 + tolerance)
    return outside
