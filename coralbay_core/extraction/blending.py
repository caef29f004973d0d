"""Blending of tiles: weighted means in the chunks that they touch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from ..features import FeatureMaps
from ..models.encoder import Encoder
from .extraction_input import ExtractionInput, holds
from .tiling import Box, Index, blending_weights, common_box, region_grid, stage_slices


class Sink(Protocol):
    """Destination of finished chunks."""

    def write(self, stride: int, chunk: Index, data: NDArray[np.float16]) -> None:
        """Store a chunk (C, z, y, x) of a stage, or its part in the targets."""
        ...


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

    Finished chunks are kept for `maps_so_far` while `keeps_finished` is true.

    Parameters
    ----------
    scene : ExtractionInput
    strides : collection of int
    targets : mapping of chunk to Box
        Chunks to compute, and the part of each.
    sink : Sink
    """

    def __init__(self, scene: ExtractionInput, strides: Collection[int], targets: Mapping[Index, Box], sink: Sink):
        self._scene, self._strides, self._sink = scene, tuple(strides), sink
        self.keeps_finished = False
        self._reached: Box | None = None
        self._finished: dict[Index, dict[int, NDArray[np.float16]]] = {}
        self._targets = dict(targets)
        self._chunks_of: dict[Index, list[Index]] = {}
        self._open: dict[Index, _OpenChunk] = {}
        for chunk, box in targets.items():
            tiles = scene.tiles_for([box]) if holds(scene.body, box) else []
            for start in tiles:
                self._chunks_of.setdefault(start, []).append(chunk)
            self._open[chunk] = _OpenChunk(box, len(tiles))
        sides = [{stride: blending_weights(n, stride) for stride in self._strides} for n in scene.lattice.size]
        self._tile_weights = {s: from_numpy(_outer(*(side[s] for side in sides))) for s in self._strides}

    @property
    def tiles(self) -> list[Index]:
        """Tiles that the targets need."""
        return sorted(self._chunks_of)

    def add(self, start: Index, maps: Mapping[int, Tensor]) -> None:
        """Add a tile's maps (C, z, y, x) by stride."""
        box = common_box(self._scene.lattice.tile_box(start), self._scene.lattice.whole)
        self._reached = box if self._reached is None else _hull(self._reached, box)
        weights = {s: self._tile_weights[s].to(maps[s].device) for s in self._strides}
        for chunk in self._chunks_of[start]:
            waiting = self._open[chunk]
            for stride in self._strides:
                waiting.add(stride, start, maps[stride], weights[stride])
            waiting.waiting -= 1
            if not waiting.waiting:
                done = {stride: waiting.mean(stride) for stride in self._strides}
                for stride, data in done.items():
                    self._sink.write(stride, chunk, data)
                if self.keeps_finished:
                    self._finished[chunk] = done
                del self._open[chunk]

    def forget_finished(self) -> None:
        """Keep finished chunks no longer."""
        self.keeps_finished = False
        self._finished.clear()

    def so_far(self, encoder: Encoder) -> FeatureMaps | None:
        """Make feature maps of the box around all tiles so far; what they did not cover does not count as body.

        None where they hold no body. Chunks that were finished before `keeps_finished` was set are left out.
        """
        box = self._reached
        if box is None:
            return None
        origin = [low for low, _ in box]
        arrays = {
            stride: np.zeros((encoder.channels[stride], *(-(-(high - low) // stride) for low, high in box)), np.float16)
            for stride in self._strides
        }
        covered = np.zeros([high - low for low, high in box], bool)
        for chunk, whole in self._targets.items():
            part = common_box(whole, box)
            if any(low >= high for low, high in part) or not (found := self._means(chunk)):
                continue
            source, target = (_moved(part, start) for start in ([low for low, _ in whole], origin))
            for stride, (data, _) in found.items():
                arrays[stride][(slice(None), *stage_slices(target, stride))] = data[
                    (slice(None), *stage_slices(source, stride))
                ]
            stride = self._strides[0]
            cells = found[stride][1][stage_slices(source, stride)]
            for axis in range(3):
                cells = cells.repeat(stride, axis)
            voxels = tuple(slice(low, high) for low, high in target)
            covered[voxels] = cells[tuple(slice(high - low) for low, high in target)]
        covered &= self._scene.body[tuple(slice(low, high) for low, high in box)]
        grid = region_grid(self._scene.grid, box)
        return FeatureMaps.of(encoder, arrays, grid, covered) if covered.any() else None

    def _means(self, chunk: Index) -> dict[int, tuple[NDArray[np.float16], NDArray[np.bool_]]]:
        """Means of a chunk as far as it was computed, and which cells a tile covered, by stride."""
        if chunk in self._finished:
            done = self._finished[chunk]
            return {stride: (data, np.ones(data.shape[1:], bool)) for stride, data in done.items()}
        waiting = self._open.get(chunk)
        if waiting is None or not waiting.sums:
            return {}
        return {s: (waiting.mean(s), (waiting.weights[s] > 0).cpu().numpy()) for s in self._strides}


def _hull(a: Box, b: Box) -> Box:
    return tuple((min(low, low_b), max(high, high_b)) for (low, high), (low_b, high_b) in zip(a, b, strict=True))


def _moved(box: Box, origin: Collection[int]) -> Box:
    return tuple((low - start, high - start) for (low, high), start in zip(box, origin, strict=True))


def _outer(z: NDArray, y: NDArray, x: NDArray) -> NDArray:
    return np.ascontiguousarray(z[:, None, None] * y[:, None] * x)
