"""Inflated 3-D ResNet-152, the image encoder of Merlin (arXiv 2406.06512) and of its descendant Astra.

A 2-D ResNet-152 (arXiv 1512.03385) whose kernels have a third axis: bottlenecks of 1 x 1 x 1, 3 x 3 x 3 and
1 x 1 x 1 convolutions, with the stride in the middle one. It reads slices of 3 mm with pixels of 1.5 mm, axis codes
S, R, A, the one channel three times; its four stages have cells of 6, 12, 24 and 48 mm.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = (3, 8, 36, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
STRIDES = (4, 8, 16, 32)
"""In voxels of 1.5 mm, along all axes: along z the stem averages two voxels instead of striding."""


class Bottleneck(nn.Module):
    """Residual block of three convolutions; the first block of a stage has a projection on its shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, projects: bool):
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv3d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if projects:
            self.downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, z, y, x) to (B, 4 * width, z / stride, y / stride, x / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class I3ResNet(nn.Module):
    """The network, without its pooling and classifier; names of parameters are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, WIDTHS[0], (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(WIDTHS[0])
        inputs = WIDTHS[0]
        for number, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
            stage = [Bottleneck(inputs, width, 1 if number == 0 else 2, True)]
            inputs = width * EXPANSION
            stage += [Bottleneck(inputs, width, 1, False) for _ in range(blocks - 1)]
            setattr(self, f"layer{number + 1}", nn.Sequential(*stage))

    def forward(self, x: Tensor, strides: Collection[int] = STRIDES) -> dict[int, Tensor]:
        """Compute the maps of a batch.

        Parameters
        ----------
        x : (B, 1, z, x, y) Tensor
            HU of -1000 to 1000 as 0 to 1, spacing 3, 1.5 and 1.5 mm, axis codes S, R, A; sides are multiples of 16,
            32 and 32.
        strides : collection of int
            Of `STRIDES`; stages beyond the largest are not computed.

        Returns
        -------
        dict of int to (B, C, z, x, y) Tensor
            Cell i of a stage is centered at voxel ``i * stride`` of the input (see `centered`).
        """
        x = F.relu(self.bn1(self.conv1(x.expand(-1, 3, -1, -1, -1))))
        x = F.max_pool3d(x, 3, 2, 1)
        maps = {}
        for number, stride in enumerate(STRIDES):
            if stride > max(strides):
                break
            x = getattr(self, f"layer{number + 1}")(x)
            if stride in strides:
                maps[stride] = x
        return maps


def centered(cells: Tensor, offsets: Sequence[float]) -> Tensor:
    """Resample a map (B, C, z, y, x) linearly at positions that are `offsets` cells farther along each axis."""
    for axis, offset in zip((2, 3, 4), offsets, strict=True):
        if offset:
            length = cells.shape[axis]
            later = torch.arange(length, device=cells.device) + (1 if offset > 0 else -1)
            neighbor = cells.index_select(axis, later.clamp(0, length - 1))
            cells = torch.lerp(cells, neighbor, abs(offset))
    return cells
