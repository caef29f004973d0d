"""Dense features of a scan by a sliding window, chunk by chunk, in bounded memory.

::

    for tile in tiles that hold body:                  # those around the focus first
        for chunk in wanted chunks that it touches:
            sum[chunk] += weight * maps(tile);  weights[chunk] += weight
            if that was the chunk's last tile: sink.write(sum / weights);  forget it

Only chunks that still wait for a tile are in memory; in the order of memory that is one layer of the scan.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import Cancelled, InputError
from ..features import FeatureMaps
from ..models.encoder import Encoder, check_strides
from ..spatial import Grid, Volume
from ..util.memory import Budget, budget
from .estimate import ProgressEstimate
from .extraction_input import ExtractionInput, holds
from .tile_runner import Say, TileRunner
from .tiling import (
    DEFAULT_STRIDES,
    Box,
    Index,
    Lattice,
    blending_weights,
    nearest_first,
    region_grid,
    region_of,
    stage_slices,
)

Progress = Callable[[int, int], None]
"""Called with the number of tiles done and in all."""


@dataclass(frozen=True)
class ExtractionCallbacks:
    """Callbacks of an extraction; all of them are optional.

    Parameters
    ----------
    progress : callable
        Called with the number of tiles done and in all, between tiles.
    cancelled : callable
        Called between tiles; when it returns true, `Cancelled` is raised and finished chunks are kept.
    outlook : callable
        Called once, after the first two tiles, with a `ProgressEstimate`.
    preview : callable
        Called once, with the features of the first tile (`FeatureMaps` of that box), seconds after the start. With a
        focus, that tile is the one around it.
    say : callable
        Called with messages for the user, such as that the device ran out of memory.
    """

    progress: Progress | None = None
    cancelled: Callable[[], bool] | None = None
    outlook: Callable[[ProgressEstimate], None] | None = None
    preview: Callable[[FeatureMaps], None] | None = None
    say: Say | None = None


class Sink(Protocol):
    """Destination of finished chunks."""

    def write(self, stride: int, chunk: Index, data: NDArray[np.float16]) -> None:
        """Store a chunk (C, z, y, x) of a stage, or its part in the targets."""
        ...


class ArraySink:
    """A `Sink` that collects the chunks of a region in arrays.

    Parameters
    ----------
    lattice : Lattice
    region : Box
    channels : mapping of int to int
        By stride.
    """

    def __init__(self, lattice: Lattice, region: Box, channels: Mapping[int, int]):
        self.targets = {chunk: _common(lattice.chunk_box(chunk), region) for chunk in lattice.chunks(region)}
        self._origin = [low for low, _ in region]
        shape = tuple(high - low for low, high in region)
        self.arrays = {
            stride: np.zeros((count, *(-(-n // stride) for n in shape)), np.float16)
            for stride, count in channels.items()
        }

    def write(self, stride: int, chunk: Index, data: NDArray[np.float16]) -> None:
        """Copy a chunk (C, z, y, x), or its part in the region, to the array of its stage."""
        box = [(low - o, high - o) for (low, high), o in zip(self.targets[chunk], self._origin, strict=True)]
        self.arrays[stride][(slice(None), *stage_slices(tuple(box), stride))] = data


def _common(a: Box, b: Box) -> Box:
    return tuple((max(low, low_b), min(high, high_b)) for (low, high), (low_b, high_b) in zip(a, b, strict=True))


@dataclass(eq=False)
class _OpenChunk:
    """A chunk that waits for more tiles: weighted sums and weights of each stage."""

    box: Box
    waiting: int
    sums: dict[int, Tensor] = field(default_factory=dict)
    weights: dict[int, Tensor] = field(default_factory=dict)

    def add(self, stride: int, start: Index, tile: Tensor, weight: Tensor) -> None:
        """Add the map (C, z, y, x) of the tile that starts at voxel `start`."""
        if stride not in self.sums:
            shape = [-(-(high - low) // stride) for low, high in self.box]
            self.sums[stride] = tile.new_zeros(tile.shape[0], *shape)
            self.weights[stride] = tile.new_zeros(*shape)
        target, source = [], []
        for s, (low, _), cells, length in zip(start, self.box, tile.shape[1:], self.weights[stride].shape, strict=True):
            first = (s - low) // stride
            begin, end = max(first, 0), min(first + cells, length)
            target.append(slice(begin, end))
            source.append(slice(begin - first, end - first))
        part = weight[tuple(source)]
        self.sums[stride][(slice(None), *target)] += tile[(slice(None), *source)] * part
        self.weights[stride][tuple(target)] += part

    def mean(self, stride: int) -> NDArray[np.float16]:
        """Compute the weighted mean; cells that no tile covered (air) are zero."""
        return (self.sums[stride] / self.weights[stride].clamp_min(1e-12)).half().cpu().numpy()


class Blender:
    """Blend tiles in the chunks that they touch; each chunk is written with its last tile.

    Parameters
    ----------
    scene : ExtractionInput
    strides : collection of int
    targets : mapping of chunk to Box
        Chunks to compute, and the part of each.
    sink : Sink
    """

    def __init__(self, scene: ExtractionInput, strides: Collection[int], targets: Mapping[Index, Box], sink: Sink):
        self._strides, self._sink = tuple(strides), sink
        self._chunks_of: dict[Index, list[Index]] = {}
        self._open: dict[Index, _OpenChunk] = {}
        for chunk, box in targets.items():
            tiles = scene.tiles_for([box]) if holds(scene.body, box) else []
            for start in tiles:
                self._chunks_of.setdefault(start, []).append(chunk)
            self._open[chunk] = _OpenChunk(box, len(tiles))
        sides = [{stride: blending_weights(n, stride) for stride in self._strides} for n in scene.lattice.size]
        self._tile_weights = {s: torch.from_numpy(_outer(*(side[s] for side in sides))) for s in self._strides}

    @property
    def tiles(self) -> list[Index]:
        """Tiles that the targets need."""
        return sorted(self._chunks_of)

    def add(self, start: Index, maps: Mapping[int, Tensor]) -> None:
        """Add a tile's maps (C, z, y, x) by stride."""
        weights = {s: self._tile_weights[s].to(maps[s].device) for s in self._strides}
        for chunk in self._chunks_of[start]:
            waiting = self._open[chunk]
            for stride in self._strides:
                waiting.add(stride, start, maps[stride], weights[stride])
            waiting.waiting -= 1
            if not waiting.waiting:
                for stride in self._strides:
                    self._sink.write(stride, chunk, waiting.mean(stride))
                del self._open[chunk]


def _outer(z: NDArray, y: NDArray, x: NDArray) -> NDArray:
    return np.ascontiguousarray(z[:, None, None] * y[:, None] * x)


def run(
    scene: ExtractionInput,
    encoder: Encoder,
    strides: Collection[int],
    targets: Mapping[Index, Box],
    sink: Sink,
    *,
    limits: Budget,
    focus_mm: ArrayLike | None = None,
    watch: ExtractionCallbacks | None = None,
) -> None:
    """Compute chunks and write them to a sink.

    Parameters
    ----------
    scene : ExtractionInput
    encoder : Encoder
    strides : collection of int
    targets : mapping of chunk to Box
        Chunks to compute, and the part of each.
    sink : Sink
    limits : Budget
    focus_mm : (3,) array, optional
        World mm; tiles are computed from there outwards.
    watch : ExtractionCallbacks, optional
    """
    watch = watch or ExtractionCallbacks()
    _require_memory(scene, encoder, limits)
    blender = Blender(scene, strides, targets, sink)
    tiles = blender.tiles
    if focus_mm is not None:
        tiles = nearest_first(scene.lattice, tiles, scene.grid.to_index(np.asarray(focus_mm, float)))
    runner = TileRunner(encoder, scene, tuple(strides), limits.device_bytes, watch.say)
    done = passes = 0
    _tick(watch, done, len(tiles))
    for batch in runner.run(tiles):
        if not passes and watch.preview:
            watch.preview(_tile_maps(*batch[0], scene, encoder))
        for start, maps in batch:
            blender.add(start, maps)
        done, passes = done + len(batch), passes + 1
        if watch.outlook and passes == min(2, len(tiles)):
            watch.outlook(ProgressEstimate.of(scene, runner, tiles_left=len(tiles) - done, tiles=len(tiles)))
        _tick(watch, done, len(tiles))


def _require_memory(scene: ExtractionInput, encoder: Encoder, limits: Budget) -> None:
    """Raise unless the scan on the model grid and one tile fit into memory; the model fixes the size of a tile."""
    tile = encoder.working_bytes(scene.lattice.size)
    on_cpu = encoder.device.type != "cuda"
    needed = scene.hu.nbytes + (tile if on_cpu else 0)
    if needed > limits.host_bytes or (not on_cpu and tile > limits.device_bytes):
        size = " x ".join(map(str, scene.lattice.size))
        raise InputError(
            "not enough memory for one tile",
            where=f"{encoder.name} on {encoder.device}, tiles of {size} voxels",
            found=f"{limits.host_bytes / 1e9:.2g} GB",
            expected=f"{(needed if on_cpu else max(needed, tile)) / 1e9:.2g} GB",
            hint="raise --memory or close other programs",
        )


def _tick(watch: ExtractionCallbacks, done: int, total: int) -> None:
    if watch.progress:
        watch.progress(done, total)
    if done < total and watch.cancelled and watch.cancelled():
        raise Cancelled("feature extraction was cancelled", found=f"{done} of {total} tiles done")


def _tile_maps(start: Index, maps: Mapping[int, Tensor], scene: ExtractionInput, encoder: Encoder) -> FeatureMaps:
    """Make feature maps of the box of one tile, unblended."""
    box = _common(scene.lattice.tile_box(start), scene.lattice.whole)
    shape = tuple(high - low for low, high in box)
    arrays = {
        stride: tile[(slice(None), *(slice(-(-n // stride)) for n in shape))].half().cpu().numpy()
        for stride, tile in maps.items()
    }
    return assemble(arrays, scene.grid, scene.body, box, encoder)


def extract(
    volume: Volume,
    encoder: Encoder,
    *,
    strides: Collection[int] = DEFAULT_STRIDES,
    roi_mm: tuple[ArrayLike, ArrayLike] | None = None,
    focus_mm: ArrayLike | None = None,
    memory_bytes: int | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    watch: ExtractionCallbacks | None = None,
) -> FeatureMaps:
    """Compute features of a volume at chosen strides, each at its native resolution, in memory only.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    strides : collection of int
    roi_mm : pair of (3,) arrays, optional
        Opposite corners, world mm, of the region to compute; its features equal those of the whole scan there.
    focus_mm : (3,) array, optional
        World mm; tiles are computed from there outwards.
    memory_bytes : int, optional
        Memory that may be used beside the volume and the result; by default all free memory.
    progress, cancelled : callable, optional
        As in `ExtractionCallbacks`.
    watch : ExtractionCallbacks, optional
        Instead of the two, with more callbacks.

    Returns
    -------
    FeatureMaps
    """
    strides = check_strides(encoder, strides)
    scene = ExtractionInput.of(volume, encoder)
    region = region_of(scene.grid, roi_mm)
    sink = ArraySink(scene.lattice, region, channels_of(encoder, strides))
    run(
        scene,
        encoder,
        strides,
        sink.targets,
        sink,
        limits=budget(encoder.device, memory_bytes),
        focus_mm=focus_mm,
        watch=watch or ExtractionCallbacks(progress, cancelled),
    )
    return assemble(sink.arrays, scene.grid, scene.body, region, encoder)


def channels_of(encoder: Encoder, strides: Iterable[int]) -> dict[int, int]:
    """Look up the number of channels per stride, for some strides."""
    return {stride: encoder.channels[stride] for stride in strides}


def assemble(
    arrays: Mapping[int, NDArray[np.float16]], grid: Grid, body: NDArray[np.bool_], region: Box, encoder: Encoder
) -> FeatureMaps:
    """Make feature maps of a region of a model grid from its arrays."""
    inside = body[tuple(slice(a, b) for a, b in region)]
    return FeatureMaps.of(encoder, arrays, region_grid(grid, region), inside)
