"""Functions of the joint descriptors, evaluated on every cell of the finest stage.

A linear function of interpolated descriptors is the interpolation of the linear function. So a linear map, be it a
probe, a projection or the first layer of a network, is applied to each stage at its own resolution, and only its few
output channels are brought to the finest grid. Other functions read the descriptors in slabs.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..spatial import Grid
from ..util.cancellation import IsCancelled, check_cancelled
from .descriptors import stage_descriptors
from .feature_maps import FeatureMaps

_SLAB_CELLS = 20_000

Box = tuple[slice, slice, slice]
WHOLE: Box = (slice(None), slice(None), slice(None))


def linear_maps(
    features: FeatureMaps,
    weights: Mapping[int, NDArray],
    *,
    box: Box = WHOLE,
    cancelled: IsCancelled | None = None,
) -> Tensor:
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
    missing = sorted(set(weights) - set(features.strides))
    if missing or not weights:
        raise InputError("features lack stages", found=features.strides, expected=sorted(weights))
    target = features.finest.grid
    total: Tensor | None = None
    for stride, rows in weights.items():
        check_cancelled(cancelled, "linear map")
        unit, source = torch.from_numpy(stage_descriptors(features, stride).unit), features.stages[stride].grid
        cells = unit[(slice(None), *box)] if source == target else unit
        product = torch.from_numpy(np.ascontiguousarray(rows.T, np.float32)) @ cells.flatten(1)
        values = product.view(-1, *cells.shape[1:])
        part = values if source == target else _interpolated(values, source, target, box)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


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
) -> Iterator[tuple[slice, NDArray, Tensor]]:
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
    unit = torch.from_numpy(stage_descriptors(features, stride).unit)
    made = _interpolated(unit, features.stages[stride].grid, features.finest.grid, box)
    return np.array(made.numpy(), np.float32)


def _interpolated(values: Tensor, source: Grid, target: Grid, box: Box) -> Tensor:
    """Interpolate (K, z, y, x) from the grid of a stage to a part of a finer, parallel grid of the same scan."""
    if source == target:
        return values[(slice(None), *box)]
    z, y, x = (torch.from_numpy(matrix[part]) for matrix, part in zip(_matrices(source, target), box, strict=True))
    # Of a slab only the planes around it.
    near = z.any(0).nonzero()
    low, high = int(near[0]), int(near[-1]) + 1
    planes = y @ (values[:, low:high] @ x.T)
    # Slowest axis last, as one product of rows that are whole planes: nothing has to be turned in memory.
    return (z[:, low:high] @ planes.flatten(2)).view(-1, len(z), *planes.shape[2:])


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
