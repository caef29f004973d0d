"""Blocks of the backbone. Tokens travel channels-last, (batch, z, y, x, channels); parameter names are MONAI's."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import WindowAttention
from .config import Merging
from .windows import plan_windows

# Offsets (z, y, x) of the eight neighbours in the order in which they are concatenated.
MERGE_ORDER: dict[Merging, str] = {
    # Duplicates two neighbours and misses two: a bug of old MONAI, kept for the weights that were trained with it.
    "monai<=1.4": "000 100 010 001 101 010 001 111",
    "monai>=1.5": "000 100 010 001 110 101 011 111",
    "v2": "000 001 010 011 100 101 110 111",
}


class Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
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
        batch, *grid, channels = x.shape
        plan = plan_windows(batch, tuple(grid), self.window, self.shifted, x.device)
        rows = x.reshape(-1, channels)
        rows = rows + self.attn(self.norm1(rows), plan)
        return (rows + self.mlp(self.norm2(rows))).view(x.shape)


class PatchMerging(nn.Module):
    """Halve the grid, double the channels."""

    def __init__(self, channels: int, merging: Merging):
        super().__init__()
        self.offsets = [tuple(int(digit) for digit in neighbor) for neighbor in MERGE_ORDER[merging].split()]
        self.reduction = nn.Linear(8 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(8 * channels)

    def forward(self, x: Tensor) -> Tensor:
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
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


def instance_norm(x: Tensor) -> Tensor:
    """Instance norm without parameters of (B, C, Z, Y, X).

    One sample's instance norm is its batch norm, whose kernel keeps the channels-last layout of the convolutions.
    """
    normed = [F.batch_norm(sample, None, None, training=True, eps=1e-5) for sample in x.split(1)]
    return normed[0] if len(normed) == 1 else torch.cat(normed)


class _Conv(nn.Module):
    """A bias-free convolution under the name that MONAI's wrapper gives it."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _ResidualConvs(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = _Conv(inputs, outputs, 3)
        self.conv2 = _Conv(outputs, outputs, 3)
        self.conv3 = _Conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu(instance_norm(self.conv1(x)), 0.01)
        out = instance_norm(self.conv2(out))
        return F.leaky_relu(out + (x if self.conv3 is None else instance_norm(self.conv3(x))), 0.01)


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with instance norm around a shortcut, on (B, C, Z, Y, X)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layer = _ResidualConvs(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)
