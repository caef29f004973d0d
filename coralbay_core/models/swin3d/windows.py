"""Assignment of tokens to attention windows: computed once per grid, then two gathers per block.

MONAI pads, rolls, partitions, attends with one mask per window, reverses, rolls back and crops, for every block of a
forward. All of that is one permutation of rows, and a shifted window has at most eight different masks (last window or
not, along each axis). A plan holds the permutation, with the windows sorted by mask.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .tracing import is_exporting

# Additive, as in MONAI: attention across the seam is suppressed, not forbidden, and weights were trained with that.
MASKED = -100.0


@dataclass(frozen=True)
class WindowPlan:
    """Plan for cutting a batch of token grids into windows.

    Attributes
    ----------
    tokens, slots : int
        Tokens in a window, and the same rounded up for the attention kernel; the slots beyond are never attended to.
    gather : (windows * slots,) int64 Tensor
        Row of the flat ``(batch * grid + 1)`` input for each slot; the last row stands for padding.
    scatter : (batch * grid,) int64 Tensor
        Slot of each input row, the inverse of `gather`.
    padding : int64 Tensor
        The slots that hold no token of the grid.
    groups : tuple of (int, int, Tensor or None)
        First window, last window + 1, and the additive (tokens, tokens) mask that they share.
    """

    tokens: int
    slots: int
    gather: Tensor
    scatter: Tensor
    padding: Tensor
    groups: tuple[tuple[int, int, Tensor | None], ...]


@dataclass(frozen=True)
class _Axis:
    """Slots of one axis, each (windows, window): source position, whether it is padding, mask region."""

    source: NDArray
    padding: NDArray
    region: NDArray

    @classmethod
    def of(cls, length: int, window: int, shift: int) -> "_Axis":
        padded = -(-length // window) * window
        source = (np.arange(padded) + shift) % padded
        region = np.zeros(padded, int)
        if shift:
            region[padded - window :] = 1
            region[padded - shift :] = 2
        shape = (-1, window)
        return cls(source.reshape(shape), (source >= length).astype(int).reshape(shape), region.reshape(shape))


def _outer(parts: Iterable[NDArray], strides: tuple[int, int, int]) -> NDArray:
    """Weighted sum of per-axis (windows, slots) arrays over all windows and slots, (windows, tokens)."""
    z, y, x = (part * stride for part, stride in zip(parts, strides, strict=True))
    total = z[:, None, None, :, None, None] + y[None, :, None, None, :, None] + x[None, None, :, None, None, :]
    return total.reshape(len(z) * len(y) * len(x), -1)


def _mask(regions: NDArray, device: torch.device) -> Tensor | None:
    """Additive mask (tokens, tokens) of a window from the region of each of its slots."""
    if (regions == regions[0]).all():
        return None
    return torch.from_numpy(np.where(regions[:, None] != regions[None, :], MASKED, 0.0)).to(device, torch.float32)


@lru_cache(maxsize=64)
def plan_windows(
    batch: int, grid: tuple[int, int, int], window: int, shifted: bool, device: torch.device
) -> WindowPlan:
    """Plan for `batch` grids of `grid` tokens; an axis that fits into one window is not shifted (as in MONAI)."""
    align = 32 if device.type == "cpu" else 8
    axes = [_Axis.of(n, min(n, window), window // 2 if shifted and n > window else 0) for n in grid]
    rows = _outer((axis.source for axis in axes), (grid[1] * grid[2], grid[2], 1))
    absent = _outer((axis.padding for axis in axes), (1, 1, 1)) > 0
    regions = _outer((axis.region for axis in axes), (9, 3, 1))
    # Tensors made under inference mode could never be saved for a backward pass later.
    with torch.inference_mode(False):
        return _batched(batch, math.prod(grid), rows, absent, regions, align, device)


def _batched(
    batch: int, size: int, rows: NDArray, absent: NDArray, regions: NDArray, align: int, device: torch.device
) -> WindowPlan:
    """Sort windows by mask, then repeat them for each grid of the batch within their group.

    Windows of 343 tokens are filled up to `align`: attention kernels work in blocks, and 352 tokens take torch's CPU
    kernel a quarter less time than 343 do (docs/decisions.md).
    """
    tokens = rows.shape[1]
    fill = ((0, 0), (0, -tokens % align))
    rows, absent = np.pad(rows, fill), np.pad(absent, fill, constant_values=True)
    kinds, kind_of = np.unique(regions, axis=0, return_inverse=True)
    parts: list[NDArray] = []
    groups, first = [], 0
    for kind, region in enumerate(kinds):
        members = np.flatnonzero(kind_of.reshape(-1) == kind)
        parts += [np.where(absent[members], batch * size, rows[members] + item * size) for item in range(batch)]
        last = first + batch * len(members)
        groups.append((first, last, _mask(region, device)))
        first = last
    gather = np.concatenate(parts).reshape(-1).astype(np.int64)
    scatter = np.empty(batch * size + 1, np.int64)
    scatter[gather] = np.arange(gather.size)

    def on_device(index: NDArray) -> Tensor:
        return torch.from_numpy(index).to(device)

    padding = on_device(np.flatnonzero(gather == batch * size))
    return WindowPlan(tokens, rows.shape[1], on_device(gather), on_device(scatter[:-1]), padding, tuple(groups))


class _Permute(torch.autograd.Function):
    """Select rows, one to one but for padding; the gradient is a gather, too, where that of index_select scatters."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, plan: WindowPlan, into_windows: bool) -> Tensor:
        ctx.plan, ctx.into_windows = plan, into_windows
        return rows.index_select(0, plan.gather if into_windows else plan.scatter)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        plan = ctx.plan
        if ctx.into_windows:
            padded = grad.index_select(0, plan.padding).sum(0, keepdim=True)
            return torch.cat([grad.index_select(0, plan.scatter), padded]), None, None
        grad = torch.cat([grad, grad.new_zeros(1, grad.shape[1])])
        return grad.index_select(0, plan.gather), None, None


def to_windows(rows: Tensor, plan: WindowPlan) -> Tensor:
    """Rows (batch * grid + 1, channels) to slots (windows * slots, channels)."""
    if is_exporting():  # an exported program has no backward pass
        return rows.index_select(0, plan.gather)
    return _Permute.apply(rows, plan, True)


def from_windows(slots: Tensor, plan: WindowPlan) -> Tensor:
    """Slots (windows * slots, channels) back to rows (batch * grid, channels)."""
    if is_exporting():
        return slots.index_select(0, plan.scatter)
    return _Permute.apply(slots, plan, False)
