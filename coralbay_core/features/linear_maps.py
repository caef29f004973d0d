"""Functions of the joint descriptors, evaluated on every cell of the finest stage.

A linear function of interpolated descriptors is the interpolation of the linear function. So a linear map, be it a
probe, a projection or the first layer of a network, is applied to each stage at its own resolution, and only its few
output channels are brought to the finest grid. Other functions read the descriptors in slabs.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import Grid
from ..util.cancellation import IsCancelled, check_cancelled
from .descriptors import stage_descriptors
from .feature_maps import FeatureMaps

if TYPE_CHECKING:
    from torch import Tensor

_SLAB_CELLS = 20_000
_SLAB_VALUES = 500_000
_LEAST_PLANES = 4

Box = tuple[slice, slice, slice]
WHOLE: Box = (slice(None), slice(None), slice(None))


def linear_maps(
    features: FeatureMaps,
    weights: Mapping[int, NDArray],
    *,
    box: Box = WHOLE,
    cancelled: IsCancelled | None = None,
) -> "Tensor":
    """Evaluate a linear function of the joint descriptors on the finest grid.

    Parameters
    ----------
    features : FeatureMaps
    weights : mapping of int to (C, K) array
        Rows of each stride.
    box : three slices
        Part of the finest grid to evaluate, such as one plane.
    cancelled : callable, optional
        Called before each stage; when it returns true, `Cancelled` is raised.

    Returns
    -------
    (K, z, y, x) float32 tensor
    """
    import torch

    outputs = next(iter(weights.values())).shape[1] if weights else 0
    out = torch.empty(outputs, *box_shape(features, box))
    for part, values in linear_slabs(features, weights, box=box, cancelled=cancelled):
        out[:, part] = values
    return out


def linear_slabs(
    features: FeatureMaps,
    weights: Mapping[int, NDArray],
    *,
    box: Box = WHOLE,
    cancelled: IsCancelled | None = None,
) -> "Iterator[tuple[slice, Tensor]]":
    """Evaluate a linear function as `linear_maps` does, one slab of the box along z at a time.

    What becomes of many outputs, such as the highest of them, then needs no memory for all of them.

    Yields
    ------
    part : slice
        Slices of the box along z.
    values : (K, length, y, x) float32 tensor
    """
    import torch

    missing = sorted(set(weights) - set(features.strides))
    if missing or not weights:
        raise InputError("features lack stages", found=features.strides, expected=sorted(weights))
    target = features.finest.grid
    rows = {stride: torch.from_numpy(np.ascontiguousarray(part.T, np.float32)) for stride, part in weights.items()}
    units = {stride: torch.from_numpy(stage_descriptors(features, stride).unit) for stride in weights}
    z, (length, *plane) = range(target.shape[0])[box[0]], box_shape(features, box)
    depth = max(_LEAST_PLANES, _SLAB_VALUES // (len(next(iter(rows.values()))) * plane[0] * plane[1]))
    for start in range(0, length, depth):
        part = slice(start, min(start + depth, length))
        cells = (slice(z[part.start], z[part.stop - 1] + 1), *box[1:])
        total: Tensor | None = None
        for stride, unit in units.items():
            check_cancelled(cancelled, "linear map")
            values = _interpolated(unit, features.stages[stride].grid, target, cells, rows[stride])
            total = values if total is None else total.add_(values)
        assert total is not None
        yield part, total


def box_shape(features: FeatureMaps, box: Box) -> tuple[int, int, int]:
    """Number of cells of the finest grid along each axis of a box."""
    z, y, x = (len(range(n)[part]) for part, n in zip(box, features.finest.grid.shape, strict=True))
    return z, y, x


def box_around(features: FeatureMaps, grid: Grid) -> Box:
    """Box of the finest grid that suffices to interpolate on another grid, such as a slice of the scan."""
    finest = features.finest.grid
    index = finest.to_index(grid.corner_positions)
    last = np.asarray(finest.shape) - 1
    low, high = np.clip(np.floor(index.min(0)), 0, last), np.clip(np.ceil(index.max(0)), 0, last)
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return z, y, x


def descriptor_slabs(
    features: FeatureMaps, strides: tuple[int, ...], *, box: Box = WHOLE
) -> "Iterator[tuple[slice, NDArray, Tensor]]":
    """Iterate over the joint descriptors of the body, one slab of the finest grid, or of a part of it, at a time.

    Yields
    ------
    part : slice
        Slices of that part along z.
    inside : (length, y, x) bool array
        Cells of the body.
    descriptors : (cells, sum of C) float32 tensor
        Of these cells, in C order.
    """
    import torch

    target, body = features.finest.grid, features.body_at(features.strides[0])[box]
    first = range(target.shape[0])[box[0]].start
    depth = max(1, _SLAB_CELLS // (body.shape[1] * body.shape[2]))
    for start in range(0, body.shape[0], depth):
        part = slice(start, min(start + depth, body.shape[0]))
        inside = body[part]
        kept = torch.from_numpy(inside)
        maps = [
            _interpolated(
                torch.from_numpy(stage_descriptors(features, s).unit),
                features.stages[s].grid,
                target,
                (slice(first + part.start, first + part.stop), *box[1:]),
            )
            for s in strides
        ]
        yield part, inside, torch.cat([values[:, kept] for values in maps]).T


def unit_maps(features: FeatureMaps, stride: int, box: Box = WHOLE) -> NDArray[np.float32]:
    """Interpolate the unit vectors of a stage to the finest grid or a part of it, (C, z, y, x), a new array.

    Between cells the vectors are a little shorter than 1.
    """
    import torch

    unit = torch.from_numpy(stage_descriptors(features, stride).unit)
    made = _interpolated(unit, features.stages[stride].grid, features.finest.grid, box)
    return np.array(made.numpy(), np.float32)


def _interpolated(values: "Tensor", source: Grid, target: Grid, box: Box, rows: "Tensor | None" = None) -> "Tensor":
    """Interpolate (C, z, y, x) from the grid of a stage to a part of a finer, parallel grid of the same scan.

    With `rows` (K, C), a linear function of the channels is evaluated first, where there are fewest cells.
    """
    import torch

    if source == target:
        return _mapped(values[(slice(None), *box)], rows)
    z, y, x = (torch.from_numpy(matrix[part]) for matrix, part in zip(_matrices(source, target), box, strict=True))
    # Of a slab only the planes around it.
    near = z.any(0).nonzero()
    low, high = int(near[0]), int(near[-1]) + 1
    planes = y @ (_mapped(values[:, low:high], rows) @ x.T)
    # Slowest axis last, as one product of rows that are whole planes: nothing has to be turned in memory.
    return (z[:, low:high] @ planes.flatten(2)).view(-1, len(z), *planes.shape[2:])


def _mapped(values: "Tensor", rows: "Tensor | None") -> "Tensor":
    return values if rows is None else (rows @ values.flatten(1)).view(-1, *values.shape[1:])


@lru_cache(maxsize=64)
def stage_matrices(
    shape: tuple[int, int, int], stride: int, target_shape: tuple[int, int, int], target_stride: int
) -> tuple[NDArray[np.float32], ...]:
    """Make the matrices of linear interpolation along each axis, (target, source), from a stage to a finer one.

    They are those of any scan whose stages have these shapes.
    """
    step, first = target_stride / stride, (target_stride - stride) / (2 * stride)
    made = tuple(_linear(n, m, step, first) for n, m in zip(shape, target_shape, strict=True))
    for matrix in made:
        matrix.setflags(write=False)
    return made


def _matrices(source: Grid, target: Grid) -> list[NDArray[np.float32]]:
    """Linear interpolation along each axis, (target, source); edges are continued."""
    step = np.diag(source.index_from_world @ target.affine)[:3]
    first = source.to_index(target.affine[:3, 3])
    return [_linear(n, m, s, f) for n, m, s, f in zip(source.shape, target.shape, step, first, strict=True)]


def _linear(source: int, target: int, step: float, first: float) -> NDArray[np.float32]:
    position = np.clip(first + step * np.arange(target), 0, source - 1)
    low = np.minimum(position.astype(int), max(source - 2, 0))
    matrix = np.zeros((target, source), np.float32)
    rows = np.arange(target)
    matrix[rows, low] = 1 - (position - low)
    matrix[rows, np.minimum(low + 1, source - 1)] += position - low
    return matrix
