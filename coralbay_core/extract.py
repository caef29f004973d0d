"""Dense features of a scan by a sliding window on a lattice that is fixed to the volume.

Tiles start at multiples of the coarsest stride of the *whole* model grid, whichever region is asked for: features of a
voxel depend on where its window stood (instance norm, padding, window phase), so a region must see the same windows as
the whole scan, and every stage of neighbouring tiles must fall on one common grid.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import geometry
from .encoder import Encoder, check_strides
from .errors import Cancelled, InputError
from .features import FeatureMap, FeatureMaps
from .preprocess import body_mask, model_grid, resample, to_unit
from .volume import Grid, Volume

DEFAULT_STRIDES = (4, 8, 16)
AIR_HU = -1000.0

Progress = Callable[[int, int], None]
"""Called with the number of tiles done and in all."""

Box = tuple[tuple[int, int], ...]
"""First and last + 1 voxel of the model grid along z, y, x."""


@dataclass(frozen=True)
class Lattice:
    """Where tiles stand: one size, and starts along each axis, all multiples of `cell`."""

    size: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    padded: tuple[int, ...]
    cell: int

    def tiles(self, region: Box) -> list[tuple[int, ...]]:
        """Starts of the tiles that touch a region."""
        return [
            start
            for start in product(*self.starts)
            if all(s < high and s + n > low for s, n, (low, high) in zip(start, self.size, region, strict=True))
        ]


def make_lattice(shape: tuple[int, ...], tile: int, step: int, cell: int = 32) -> Lattice:
    """Lattice over a volume of `shape`, which is padded at the high ends by less than `cell` (thin ones to two cells).

    The last tile of an axis is moved back to end with the volume, still on a multiple of `cell`.
    """
    if tile % cell or step % cell or not 0 < step <= tile:
        raise InputError(
            "tile and step do not fit the strides", found=(tile, step), expected=f"multiples of {cell}, step <= tile"
        )
    padded = tuple(max(-(-n // cell) * cell, 2 * cell) for n in shape)
    size = tuple(min(tile, n) for n in padded)
    starts = tuple(
        tuple(sorted({min(start, n - side) for start in range(0, n - side + step, step)}))
        for n, side in zip(padded, size, strict=True)
    )
    return Lattice(size, starts, padded, cell)


def blending_weights(side: int, stride: int) -> NDArray[np.float32]:
    """Gaussian weight of each cell along one axis of a tile, sigma one eighth of the tile as in MONAI."""
    cells = side // stride
    distance = (np.arange(cells) - (cells - 1) / 2) / (cells / 8)
    return np.maximum(np.exp(-0.5 * distance**2), 1e-3).astype(np.float32)


class _Blender:
    """Weighted sum of the tiles of one stage, over a region."""

    def __init__(self, stride: int, channels: int, region: Box, size: tuple[int, ...]):
        self.stride = stride
        self.origin = [low // stride for low, _ in region]
        self.shape = [-(-(high - low) // stride) for low, high in region]
        self.sum = torch.zeros(channels, *self.shape)
        self.weight = torch.zeros(*self.shape)
        z, y, x = (torch.from_numpy(blending_weights(side, stride)) for side in size)
        self.tile_weight = z[:, None, None] * y[:, None] * x

    def add(self, start: tuple[int, ...], tile: Tensor) -> None:
        """Add the map (C, z, y, x) of the tile that starts at voxel `start`."""
        target, source = [], []
        for s, origin, cells, length in zip(start, self.origin, tile.shape[1:], self.shape, strict=True):
            first = s // self.stride - origin
            low, high = max(first, 0), min(first + cells, length)
            target.append(slice(low, high))
            source.append(slice(low - first, high - first))
        weight = self.tile_weight[tuple(source)]
        self.sum[(slice(None), *target)] += tile[(slice(None), *source)] * weight
        self.weight[tuple(target)] += weight

    def result(self) -> NDArray[np.float16]:
        """The mean; cells that no tile covered (air) are zero."""
        return (self.sum / self.weight.clamp_min(1e-12)).numpy().astype(np.float16)


def region_of(grid: Grid, roi_mm: tuple[NDArray, NDArray] | None, cell: int = 32) -> Box:
    """Region of the model grid that holds a box in world mm (two opposite corners), grown to whole cells."""
    if roi_mm is None:
        return tuple((0, n) for n in grid.shape)
    ends = [(low, high) for low, high in zip(*roi_mm, strict=True)]
    corners = grid.to_index(np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, 3))
    low = np.floor(np.clip(corners.min(0) + 0.5, 0, None) / cell).astype(int) * cell
    high = np.minimum(np.ceil((corners.max(0) + 0.5) / cell).astype(int) * cell, grid.shape)
    if (low >= high).any():
        bounds = np.round(np.stack(grid.bounds_mm), 1).tolist()
        raise InputError(
            "region lies outside the volume",
            found=[list(map(float, c)) for c in roi_mm],
            expected=f"mm within {bounds}",
        )
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def _inputs(
    model_hu: NDArray, lattice: Lattice, window_hu: tuple[float, float], batch: list[tuple[int, ...]]
) -> Tensor:
    """Batch (B, 1, Z, Y, X) of tiles; padding repeats the volume's last voxels, which keeps norm statistics sane."""
    tiles = []
    for start in batch:
        crop = model_hu[tuple(slice(s, s + n) for s, n in zip(start, lattice.size, strict=True))]
        pads = [(0, n - have) for n, have in zip(lattice.size, crop.shape, strict=True)]
        tiles.append(to_unit(np.pad(crop, pads, mode="edge"), window_hu))
    return torch.from_numpy(np.stack(tiles)[:, None])


def _has_body(body: NDArray[np.bool_], lattice: Lattice) -> Callable[[tuple[int, ...]], bool]:
    return lambda start: bool(body[tuple(slice(s, s + n) for s, n in zip(start, lattice.size, strict=True))].any())


def _counted(items: list, size: int, progress: Progress | None, cancelled: Callable[[], bool] | None) -> Iterator[list]:
    """Batches of items; reports progress between them and stops on request."""
    for done in range(0, len(items), size):
        if progress:
            progress(done, len(items))
        if cancelled and cancelled():
            raise Cancelled("feature extraction was cancelled", hint="nothing was written")
        yield items[done : done + size]
    if progress:
        progress(len(items), len(items))


def extract(
    volume: Volume,
    encoder: Encoder,
    *,
    strides: Collection[int] = DEFAULT_STRIDES,
    roi_mm: tuple[NDArray, NDArray] | None = None,
    batch_size: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FeatureMaps:
    """Features of a volume at chosen strides, each at its native resolution.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    strides : collection of int
    roi_mm : pair of (3,) arrays, optional
        Opposite corners, world mm, of the region to compute; its features equal those of the whole scan there.
    batch_size : int
        Tiles in one forward pass.
    progress, cancelled : callable, optional
        Called between batches; when `cancelled()` is true, `Cancelled` is raised.

    Returns
    -------
    FeatureMaps
    """
    strides = check_strides(encoder, strides)
    grid = model_grid(volume.grid, encoder.preprocessing.spacing_mm)
    model_hu = on_model_grid(volume, grid)
    body = body_mask(model_hu, encoder.preprocessing.spacing_mm)
    lattice = make_lattice(grid.shape, encoder.tiling.tile, encoder.tiling.step)
    region = region_of(grid, roi_mm, lattice.cell)
    channels = {stage.stride: stage.channels for stage in encoder.stages}
    blenders = [_Blender(stride, channels[stride], region, lattice.size) for stride in strides]
    tiles = list(filter(_has_body(body, lattice), lattice.tiles(region)))
    for batch in _counted(tiles, batch_size, progress, cancelled):
        maps = encoder(_inputs(model_hu, lattice, encoder.preprocessing.window_hu, batch), strides)
        for blender in blenders:
            for start, tile in zip(batch, maps[blender.stride].cpu(), strict=True):
                blender.add(start, tile)
    return _assemble(blenders, grid, body, region, encoder)


def on_model_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    """HU on a model grid of the volume; around an oblique volume there is air."""
    aligned = geometry.is_axis_aligned(volume.affine)
    return resample(volume.data, volume.grid, grid, fill=None if aligned else AIR_HU)


def _assemble(
    blenders: list[_Blender], grid: Grid, body: NDArray[np.bool_], region: Box, encoder: Encoder
) -> FeatureMaps:
    low = [a for a, _ in region]
    shape = tuple(b - a for a, b in region)
    part = Grid(shape, grid.affine @ geometry.translate(low))  # type: ignore[arg-type]
    inside = body[tuple(slice(a, b) for a, b in region)]
    stages = {b.stride: FeatureMap(b.stride, b.result(), part.coarsen(b.stride)) for b in blenders}
    return FeatureMaps(stages, part, inside, encoder.name, encoder.fingerprint, getattr(encoder, "notice", ""))
