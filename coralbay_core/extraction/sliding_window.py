"""Dense features of a scan by a sliding window, chunk by chunk, in bounded memory.

::

    for tile in tiles that hold body:                  # those around the focus first
        for chunk in wanted chunks that it touches:
            sum[chunk] += weight * maps(tile);  weights[chunk] += weight
            if that was the chunk's last tile: sink.write(sum / weights);  forget it

Only chunks that still wait for a tile are in memory; in the order of memory that is one layer of the scan.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import Cancelled, InputError
from ..features import FeatureMaps
from ..models.encoder import Encoder, check_strides
from ..spatial import Volume
from ..spatial.preprocessing import model_grid
from ..util.cancellation import check_cancelled
from ..util.memory import Budget, budget
from .blending import Blender, Sink
from .box_maps import assemble
from .estimate import ProgressEstimate
from .extraction_input import ExtractionInput
from .first_features import first_features
from .kept_input import extraction_input, forget_input
from .tile_runner import Say, TileRunner
from .tiling import (
    Box,
    Index,
    Lattice,
    common_box,
    nearest_first,
    region_of,
    stage_slices,
)

_GROWTH = 4
"""Factor by which the number of tiles grows from preview to preview."""

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
        Called with the first features, `FeatureMaps` of a box, and again when there are several times as many. With a
        focus, the box is around it; for a large scan, the first one is then a cube that comes before anything else
        (`first_features`).
    say : callable
        Called with messages for the user, such as that the device ran out of memory.
    """

    progress: Progress | None = None
    cancelled: Callable[[], bool] | None = None
    outlook: Callable[[ProgressEstimate], None] | None = None
    preview: Callable[[FeatureMaps], None] | None = None
    say: Say | None = None


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
        self.targets = {chunk: common_box(lattice.chunk_box(chunk), region) for chunk in lattice.chunks(region)}
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
    previews = _Previews(blender, encoder, watch, focus_mm, len(tiles))
    runner = TileRunner(encoder, scene, tuple(strides), limits.device_bytes, watch.say)
    done = passes = 0
    _tick(watch, done, len(tiles))
    for batch in runner.run(tiles):
        for start, maps in batch:
            blender.add(start, maps)
        done, passes = done + len(batch), passes + 1
        previews.show(done)
        if watch.outlook and passes == min(2, len(tiles)):
            watch.outlook(ProgressEstimate.of(scene, runner, tiles_left=len(tiles) - done, tiles=len(tiles)))
        _tick(watch, done, len(tiles))


class _Previews:
    """Features of the tiles so far: after the first tile, and when there are four times as many, up to half of all."""

    def __init__(
        self, blender: Blender, encoder: Encoder, watch: ExtractionCallbacks, focus_mm: ArrayLike | None, tiles: int
    ):
        self._blender, self._encoder, self._watch, self._focus_mm = blender, encoder, watch, focus_mm
        self._next, self._last = 1, max(1, tiles // 2)
        blender.keeps_finished = watch.preview is not None

    def show(self, done: int) -> None:
        """Call back where it is time to."""
        if self._watch.preview is None or done < self._next:
            return
        if self._next == 1 or done <= self._last:
            maps = self._blender.so_far(self._encoder)
            if maps is not None and (self._focus_mm is None or maps.grid.contains(self._focus_mm)):
                self._watch.preview(maps)
        self._next = _GROWTH * done
        if self._next > self._last:
            self._blender.forget_finished()


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


def extract(
    volume: Volume,
    encoder: Encoder,
    *,
    strides: Collection[int] | None = None,
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
    strides : collection of int, optional
        Stages to compute; by default those of `default_strides`.
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
    watch, limits = watch or ExtractionCallbacks(progress, cancelled), budget(encoder.device, memory_bytes)
    scene = previewed_input(volume, encoder, strides, roi_mm, focus_mm, limits, watch)
    region = region_of(scene.grid, roi_mm)
    sink = ArraySink(scene.lattice, region, channels_of(encoder, strides))
    run(
        scene,
        encoder,
        strides,
        sink.targets,
        sink,
        limits=limits,
        focus_mm=focus_mm,
        watch=watch,
    )
    forget_input(volume)
    return assemble(sink.arrays, scene.grid, scene.body, region, encoder)


def previewed_input(
    volume: Volume,
    encoder: Encoder,
    strides: Sequence[int],
    roi_mm: tuple[ArrayLike, ArrayLike] | None,
    focus_mm: ArrayLike | None,
    limits: Budget,
    watch: ExtractionCallbacks,
) -> ExtractionInput:
    """Make the input of an extraction, after the first features around the focus were handed to the callback for them.

    Parameters are those of `extract`.
    """
    if watch.preview is not None and focus_mm is not None:
        region = region_of(model_grid(volume.grid, encoder.preprocessing.spacing_mm), roi_mm)
        check_cancelled(watch.cancelled, "feature extraction")
        maps = first_features(volume, encoder, strides, focus_mm, region, limits)
        if maps is not None:
            watch.preview(maps)
    return extraction_input(volume, encoder)


def channels_of(encoder: Encoder, strides: Iterable[int]) -> dict[int, int]:
    """Look up the number of channels per stride, for some strides."""
    return {stride: encoder.channels[stride] for stride in strides}
