"""Encoders without a network: baselines for learned ones, usable without weights.

They are `Encoder`s like any other, so every command, view and measurement takes them by name. They compute the whole
scan as one tile: box means cost so little that no seam needs to be blended, and a region has the features of the scan.
"""

from collections.abc import Callable, Collection
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from .encoder import WHOLE, EncoderBase, Stage, resolve_device

VERSION = 1
"""Raise it when the features of an encoder change: fingerprints of probes and caches then differ."""

STRIDES = (4, 8, 16)
OFFSETS_MM = (24.0, 48.0)


class HandcraftedEncoder(EncoderBase):
    """An `Encoder` whose stages are computed from local means of HU.

    Parameters
    ----------
    name : str
    describe : callable
        Maps (B, 1, Z, Y, X), its squares, a stride and the spacing in mm to (B, C, z, y, x) of that stride.
    channels : int
        Number of channels that `describe` returns.
    device : str
    """

    tiling = WHOLE

    def __init__(
        self, name: str, describe: Callable[[Tensor, Tensor, int, float], Tensor], channels: int, device: str = "auto"
    ):
        self.name = name
        self.fingerprint = f"{name}-{VERSION}"  # there are no weights to hash
        self.device = resolve_device(device)
        self.stages = tuple(Stage(stride, channels) for stride in STRIDES)
        self._describe = describe

    @torch.inference_mode()
    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the maps of a batch, as in `Encoder`."""
        x = x.to(self.device, torch.float32)
        finest = STRIDES[0]
        # Every stage is a mean of cells of the finest one, wanted or not: the volume itself is read once, and a map is
        # the same to the last bit whatever other stages are computed with it.
        mean, square = F.avg_pool3d(x, finest), F.avg_pool3d(x * x, finest)
        maps = {}
        for stride in sorted(strides):
            cells, squares = (F.avg_pool3d(v, stride // finest) for v in (mean, square))
            maps[stride] = self._describe(cells, squares, stride, self.preprocessing.spacing_mm)
        return maps


def _moments(mean: Tensor, square: Tensor, cells: int) -> Tensor:
    """Mean and standard deviation of HU in boxes of `cells` cells around each cell, (B, 2, z, y, x)."""
    mean, square = (_box_mean(v, cells) for v in (mean, square))
    return torch.cat([mean, (square - mean**2).clamp_min(0).sqrt()], 1)


def _box_mean(x: Tensor, cells: int) -> Tensor:
    return x if cells == 1 else F.avg_pool3d(x, cells, 1, cells // 2, count_include_pad=False)


def _patch(mean: Tensor, square: Tensor, stride: int, spacing_mm: float) -> Tensor:
    """Mean and spread in boxes of one and of three cells: the look of the tissue, without its position."""
    return torch.cat([_moments(mean, square, cells) for cells in (1, 3)], 1)


def _context(mean: Tensor, square: Tensor, stride: int, spacing_mm: float) -> Tensor:
    """`_patch`, and the mean HU of boxes at 26 offsets of 24 mm and of 48 mm: the surroundings in each direction."""
    parts = [_patch(mean, square, stride, spacing_mm)]
    for offset_mm in OFFSETS_MM:
        cells = max(1, round(offset_mm / (stride * spacing_mm)))
        # Boxes half as wide as they are far away; an odd number of cells keeps them centered.
        boxes = _box_mean(mean, max(1, cells // 2) // 2 * 2 + 1)
        parts.append(_around(boxes, cells))
    return torch.cat(parts, 1)


def _around(x: Tensor, cells: int) -> Tensor:
    """Values at the 26 neighbors that are `cells` away along each axis, (B, 26, z, y, x); edges are continued."""
    padded = F.pad(x, (cells,) * 6, mode="replicate")
    z, y, x_size = x.shape[2:]
    shifts = [shift for shift in product((0, cells, 2 * cells), repeat=3) if shift != (cells,) * 3]
    return torch.cat([padded[:, :, a : a + z, b : b + y, c : c + x_size] for a, b, c in shifts], 1)


_KINDS: dict[str, tuple[Callable[[Tensor, Tensor, int, float], Tensor], int]] = {
    "hu-patch": (_patch, 4),
    "hu-context": (_context, 4 + 26 * len(OFFSETS_MM)),
}

NAMES = tuple(_KINDS)


def handcrafted_encoder(name: str, device: str = "auto") -> HandcraftedEncoder:
    """Make an encoder without a network by its name, one of `NAMES`."""
    describe, channels = _KINDS[name]
    return HandcraftedEncoder(name, describe, channels, device)
