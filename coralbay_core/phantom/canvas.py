"""Canvas: the voxels that a phantom is painted on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spatial import Grid
from .shapes import Floats, Points
from .warp import Warp

Slices = tuple[slice, slice, slice]
FAR_MM = 99.0


@dataclass(frozen=True)
class Block:
    """A box of voxels with its canonical coordinates (right, anterior, superior)."""

    slices: Slices
    points: Points


@dataclass(frozen=True)
class Tube:
    """Distances to a curve of varying radius in a box of voxels.

    Parameters
    ----------
    block : Block
    distance : array
        To the wall, mm, negative inside.
    along : array
        Number of the nearest segment; which content a voxel of a bowel shows depends on it.
    above : array
        Height over the axis, towards anterior, in radii; gas floats up in a patient who lies on the back.
    """

    block: Block
    distance: Floats
    along: NDArray[np.int32]
    above: Floats


class Canvas:
    """HU and labels on a grid, painted structure by structure, later over earlier.

    A structure is a signed distance: the share of a voxel that it covers mixes its HU with what lies beneath (partial
    volume), and the label changes where that share exceeds one half. So labels never overlap.

    Parameters
    ----------
    grid : Grid
        Axis-aligned, S P L.
    warp : Warp
    tissues : dict of str to (float, float)
        HU and grain (amplitude of the texture, HU) of each material.
    labels : dict of str to int
    grain : array
        Texture of unit variance on the grid.
    """

    def __init__(
        self,
        grid: Grid,
        warp: Warp,
        tissues: dict[str, tuple[float, float]],
        labels: dict[str, int],
        grain: NDArray[np.float32],
    ):
        self.grid, self.warp, self.tissues, self.label_values, self.grain = grid, warp, tissues, labels, grain
        self.edge_mm = float(grid.spacing_mm.mean())
        axes = [grid.to_world(np.eye(3)[i] * np.arange(n)[:, None])[:, 2 - i] for i, n in enumerate(grid.shape)]
        self.world_axes = axes
        x, y, z = warp.canonical_grid(axes[2], axes[1], axes[0])
        self.points: Points = (x, y, z)
        self.hu: Floats = np.full(grid.shape, tissues["air"][0], np.float32)
        self.labels = np.zeros(grid.shape, np.uint8)
        self.whole = Block((slice(None), slice(None), slice(None)), self.points)

    def block(self, low: Sequence[float] | Floats, high: Sequence[float] | Floats) -> Block:
        """Block of voxels that contains a canonical box."""
        ends = [np.linspace(a, b, 6) for a, b in zip(low, high, strict=True)]
        lattice = np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, 3)
        return self._world_block(self.warp.from_canonical(lattice), 4.0)

    def _world_block(self, points_mm: Floats, margin_mm: float) -> Block:
        index = self.grid.to_index(points_mm)
        margin = margin_mm / self.grid.spacing_mm
        low = np.clip(np.floor(index.min(0) - margin), 0, self.grid.shape).astype(int)
        high = np.clip(np.ceil(index.max(0) + margin) + 1, 0, self.grid.shape).astype(int)
        slices = slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
        x, y, z = (p[slices] for p in self.points)
        return Block(slices, (x, y, z))

    def paint(
        self, block: Block, distance: Floats, tissue: str, label: str | None = None, within: Floats | None = None
    ) -> None:
        """Paint a material where `distance` is negative, thinned by the share `within`."""
        cover: Floats = self.cover(distance)
        if within is not None:
            cover = cover * within
        mean, grain = self.tissues[tissue]
        under = self.hu[block.slices]
        value = np.float32(mean) + np.float32(grain) * self.grain[block.slices]
        under += cover * (value - under)
        if label is not None:
            self.labels[block.slices][cover > 0.5] = self.label_values[label]

    def cover(self, distance: Floats) -> NDArray[np.float32]:
        """Share of each voxel inside a surface."""
        return np.clip(0.5 - distance / np.float32(self.edge_mm), 0, 1).astype(np.float32, copy=False)

    def tube(self, pieces: Floats, reach_mm: float = 4.0) -> Tube:
        """Distances to segments ``(n, 2, 4)`` of canonical knots, valid up to `reach_mm` from the wall."""
        ends = self.warp.from_canonical(pieces[..., :3])
        radii = pieces[..., 3] * self.warp.scale
        margin = float(radii.max()) + reach_mm
        block = self._world_block(ends.reshape(-1, 3), margin)
        shape = block.points[0].shape
        tube = Tube(block, np.full(shape, FAR_MM, np.float32), np.zeros(shape, np.int32), np.zeros(shape, np.float32))
        for number, (end, radius) in enumerate(zip(ends, radii, strict=True)):
            self._add_capsule(tube, number, end, radius, reach_mm)
        return tube

    def _add_capsule(self, tube: Tube, number: int, ends: Floats, radii: Floats, reach_mm: float) -> None:
        index = self.grid.to_index(ends)
        margin = (radii.max() + reach_mm) / self.grid.spacing_mm
        box, axes = [], []
        for i, part in enumerate(tube.block.slices):
            low = max(int(index[:, i].min() - margin[i]), part.start)
            high = min(int(index[:, i].max() + margin[i]) + 2, part.stop)
            if low >= high:
                return
            box.append(slice(low - part.start, high - part.start))
            axes.append((self.world_axes[i][low:high] - ends[0, 2 - i]).astype(np.float32))
        z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
        across = (ends[1] - ends[0]).astype(np.float32)
        t = np.clip((x * across[0] + y * across[1] + z * across[2]) / max(float(across @ across), 1e-6), 0, 1)
        height = y - t * across[1]
        radius = np.float32(radii[0]) + t * np.float32(radii[1] - radii[0])
        distance = np.sqrt((x - t * across[0]) ** 2 + height**2 + (z - t * across[2]) ** 2) - radius
        where = tuple(box)
        nearer = distance < tube.distance[where]
        np.copyto(tube.distance[where], distance, where=nearer)
        np.copyto(tube.along[where], np.int32(number), where=nearer)
        np.copyto(tube.above[where], np.broadcast_to(height / radius, nearer.shape), where=nearer)

    def paint_tube(self, pieces: Floats, tissue: str, label: str | None = None, within: Floats | None = None) -> None:
        """Paint a solid tube; `within` is a share on the whole grid."""
        tube = self.tube(pieces, reach_mm=self.edge_mm)
        self.paint(tube.block, tube.distance, tissue, label, None if within is None else within[tube.block.slices])

    def share(self, block: Block, distance: Floats) -> NDArray[np.float32]:
        """`cover` of a block on the whole grid, 0 outside."""
        whole = np.zeros(self.grid.shape, np.float32)
        whole[block.slices] = self.cover(distance)
        return whole
