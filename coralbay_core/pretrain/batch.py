"""Input of a training step: views, their positions, matched points, and labels at any point.

A batch has B items, one per crop location; each item has several global and local views.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Views:
    """Crops of one size, item by item.

    Attributes
    ----------
    images : (B * views, 1, side, side, side) Tensor
        Windowed to [0, 1].
    affines : (B * views, 3, 4) Tensor
        Voxel (z, y, x) of the view to voxel of its volume, float32.
    """

    images: Tensor
    affines: Tensor

    @property
    def side(self) -> int:
        """Side of a view in voxels."""
        return self.images.shape[-1]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Positions that lie in the first two global views of an item.

    Attributes
    ----------
    points : (B, 2, N, 3) Tensor
        Voxel (z, y, x) in each of the two views.
    positions : (B, N, 3) Tensor
        The same as voxel of the volume; multiplied by the spacing, distances are mm.
    valid : (B, N) bool Tensor
        False where the views do not overlap enough.
    """

    points: Tensor
    positions: Tensor
    valid: Tensor


@dataclass(frozen=True, eq=False)
class Labels:
    """Blocks of a label volume, one per item.

    Attributes
    ----------
    blocks : (B, z, y, x) int64 Tensor
        -1 outside of the volume.
    lows : (B, 3) Tensor
        Cell of the label volume that each block begins with.
    stride : int
        Voxels of the training grid in a cell.
    """

    blocks: Tensor
    lows: Tensor
    stride: int

    def at(self, positions: Tensor) -> Tensor:
        """Labels of the cells in which positions lie.

        Parameters
        ----------
        positions : (B, N, 3) Tensor
            Voxel of the volume, e.g. ``Pairs.positions`` or ``to_volume(...)``.

        Returns
        -------
        (B, N) int64 Tensor
            -1 outside.
        """
        # Cell c holds voxels c * stride ... c * stride + stride - 1; voxel edges lie at halves.
        cells = ((positions + 0.5) / self.stride).floor().long() - self.lows[:, None]
        sizes = torch.tensor(self.blocks.shape[1:], device=cells.device)
        inside = ((cells >= 0) & (cells < sizes)).all(-1)
        z, y, x = torch.minimum(cells.clamp(min=0), sizes - 1).unbind(-1)
        item = torch.arange(len(cells), device=cells.device)[:, None]
        return torch.where(inside, self.blocks[item, z, y, x], -1)


@dataclass(frozen=True, eq=False)
class Batch:
    """One part of a step.

    Attributes
    ----------
    globals : Views
    locals : Views or None
    pairs : Pairs or None
        None unless a term needs matched points.
    labels : dict of str to Labels
        Label volumes that terms need, by name.
    samples : tuple of int
        Number of each item in the whole run; its random numbers depend on this and the seed alone.
    volumes : tuple of int
        Number of each item's volume in the source.
    seed : int
        Seed of the run.
    """

    globals: Views
    locals: Views | None
    pairs: Pairs | None
    labels: dict[str, Labels]
    samples: tuple[int, ...]
    volumes: tuple[int, ...]
    seed: int = 0

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.samples)

    def rngs(self, salt: int) -> list[np.random.Generator]:
        """Random generators for a term, one per item, independent of the process that computes the item."""
        return [np.random.default_rng([self.seed, salt, sample]) for sample in self.samples]


def to_volume(affines: Tensor, points: Tensor) -> Tensor:
    """Voxels (V, N, 3) of views as voxels of their volumes, by affines (V, 3, 4)."""
    return points @ affines[:, :, :3].transpose(1, 2) + affines[:, None, :, 3]


def cell_centers(side: int, stride: int, device: torch.device | None = None) -> Tensor:
    """Voxels of a view of `side` voxels at which the cells of a stage lie, ((side / stride)**3, 3), z slowest."""
    axis = torch.arange(-(-side // stride), device=device) * stride + (stride - 1) / 2
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
