"""Blocks of the backbone. Tokens travel channels-last, (batch, z, y, x, channels); parameter names are MONAI's."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import WindowAttention
from .config import Merging
from .stem import SLOPE, folded_stem
from .tracing import is_exporting
from .windows import WindowPlan, plan_windows

# Of one channel group of a chunk; the MLP's hidden layer is four times as large.
CHUNK_ELEMENTS = 200_000

# Offsets (z, y, x) of the eight neighbors in the order in which they are concatenated.
MERGE_ORDER: dict[Merging, str] = {
    # Duplicates two neighbors and misses two: a bug of old MONAI, kept for the weights that were trained with it.
    "monai<=1.4": "000 100 010 001 101 010 001 111",
    "monai>=1.5": "000 100 010 001 110 101 011 111",
    "v2": "000 001 010 011 100 101 110 111",
}


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, on (..., channels)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both layers to tokens (..., channels)."""
        return self.linear2(F.gelu(self.linear1(x)))


class SwinBlock(nn.Module):
    """Window attention and an MLP, each with a residual connection (pre-norm)."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool, mlp_ratio: float):
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, z, y, x, channels); without gradients `x` itself is overwritten."""
        batch, *grid, channels = x.shape
        plan = plan_windows(batch, tuple(grid), self.window, self.shifted, x.device)
        rows = x.reshape(-1, channels)
        if torch.is_grad_enabled():
            rows = rows + self.attn(self.norm1(rows), plan)
            rows = rows + self.mlp(self.norm2(rows))
        else:
            self._stream(rows, plan)
        return rows.view(x.shape)

    def _stream(self, rows: Tensor, plan: WindowPlan) -> None:
        """`forward` in place and, on a CPU, in chunks.

        There each operation over all tokens would write tens of megabytes that the allocator maps afresh every time;
        page faults and cache misses then cost as much as the arithmetic.
        """
        size = CHUNK_ELEMENTS // rows.shape[1] if rows.device.type == "cpu" else len(rows)
        normed = rows.new_zeros(len(rows) + 1, rows.shape[1])
        for part in _chunks(len(rows), size):
            normed[part] = self.norm1(rows[part])
        attended = self.attn.attend_in_chunks(normed, plan, max(1, size // plan.slots))
        for part in _chunks(len(rows), size):
            chunk = rows[part]
            chunk += self.attn.proj(attended.index_select(0, plan.scatter[part]))
            chunk += self.mlp(self.norm2(chunk))


def _chunks(length: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, length)) for first in range(0, length, size))


class PatchMerging(nn.Module):
    """Halve the grid, double the channels."""

    def __init__(self, channels: int, merging: Merging):
        super().__init__()
        self.offsets = [tuple(int(digit) for digit in neighbor) for neighbor in MERGE_ORDER[merging].split()]
        self.reduction = nn.Linear(8 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(8 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Merge tokens (B, z, y, x, channels) to (B, z / 2, y / 2, x / 2, 2 * channels); odd sizes are padded."""
        _, z, y, x_size, _ = x.shape
        if z % 2 or y % 2 or x_size % 2:
            x = F.pad(x, (0, 0, 0, x_size % 2, 0, y % 2, 0, z % 2))
        return self.reduction(self.norm(torch.cat([x[:, i::2, j::2, k::2] for i, j, k in self.offsets], -1)))


class Stage(nn.Module):
    """Transformer blocks at one stride, then merging; windows of every second block are shifted by half."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, mlp_ratio: float, merging: Merging):
        super().__init__()
        self.blocks = nn.ModuleList(SwinBlock(channels, heads, window, bool(i % 2), mlp_ratio) for i in range(depth))
        self.downsample = PatchMerging(channels, merging)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the blocks and the merging to tokens (B, z, y, x, channels)."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


def instance_norm(x: Tensor) -> Tensor:
    """Instance norm without parameters of (B, C, Z, Y, X).

    One sample's instance norm is its batch norm, whose kernel keeps the channels-last layout of the convolutions.
    """
    if is_exporting():  # exported programs of batch norm would hold running statistics
        return F.instance_norm(x, eps=1e-5)
    normed = [F.batch_norm(sample, None, None, training=True, eps=1e-5) for sample in x.split(1)]
    return normed[0] if len(normed) == 1 else torch.cat(normed)


def _activate(x: Tensor) -> Tensor:
    """Leaky ReLU, in place where no gradient needs the input."""
    return F.leaky_relu(x, SLOPE) if torch.is_grad_enabled() else F.leaky_relu_(x, SLOPE)


class _Conv(nn.Module):
    """A bias-free convolution under the name that MONAI's wrapper gives it."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] == 2 and x.device.type == "cpu" and torch.is_grad_enabled():
            # oneDNN's bfloat16 weight gradient reads memory that nobody wrote where the first axis has two voxels.
            with torch.autocast("cpu", enabled=False):
                return self.conv(x.to(self.conv.weight.dtype))
        return self.conv(x)


class _ResidualConvs(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = _Conv(inputs, outputs, 3)
        self.conv2 = _Conv(outputs, outputs, 3)
        self.conv3 = _Conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and x.device.type == "cpu" and not torch.is_grad_enabled() and self.conv3 is not None:
            return folded_stem(x, self.conv1.conv.weight, self.conv2.conv.weight, self.conv3.conv.weight)
        out = _activate(instance_norm(self.conv1(x)))
        out = instance_norm(self.conv2(out))
        shortcut = x if self.conv3 is None else instance_norm(self.conv3(x))
        return _activate(out + shortcut if torch.is_grad_enabled() else out.add_(shortcut))


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with instance norm around a shortcut, on (B, C, Z, Y, X)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layer = _ResidualConvs(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to (B, inputs, Z, Y, X)."""
        return self.layer(x)
