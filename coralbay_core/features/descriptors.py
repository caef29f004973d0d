"""Descriptors: stage features standardized over the patient's body, then scaled to unit length.

Channels of a self-supervised encoder differ in mean and spread by orders of magnitude, and both shift between scans.
Each channel is z-scored over the body of *its own* scan, then each cell becomes a unit vector, so that dot products are
cosines within a scan and across scans. (Raw stages treated so match patients better than a learned joint embedding at
small compute.) Compact features are centered only: their channels are principal coordinates, and equal spread
would amplify noise.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..spatial import Grid
from .feature_maps import FeatureMap, FeatureMaps, sample_trilinear

JOINT_STRIDE = 16
"""Largest stride of the stages that `joint_stages` selects by default."""

_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class StageDescriptors:
    """Unit vectors of one stage.

    Attributes
    ----------
    unit : (C, z, y, x) float32 array
    mean, scale : (C,) float32 arrays
        Of the channels over the body.
    """

    unit: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def describe(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert raw features (N, C) of the same scan to unit vectors."""
        scaled = (raw - self.mean) / self.scale
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)


# Each with the body that it was standardized over. The maps of a stage are shared by a selection of stages.
_cache: "WeakKeyDictionary[FeatureMap, tuple[NDArray[np.bool_], StageDescriptors]]" = WeakKeyDictionary()


def stage_descriptors(features: FeatureMaps, stride: int) -> StageDescriptors:
    """Compute the descriptors of a stage; they are cached as long as its map lives."""
    stage = features.stage(stride)
    body, known = _cache.get(stage, (None, None))
    if known is None or body is not features.body:
        known = _standardize(features, stride)
        _cache[stage] = features.body, known
    return known


def _standardize(features: FeatureMaps, stride: int) -> StageDescriptors:
    """Standardize a stage in place, some cells at a time: what takes the time is memory that is new to the process."""
    data = np.array(features.stage(stride).data, np.float32, order="C")
    rows, body = data.reshape(len(data), -1), features.body_at(stride).reshape(-1)
    share = body / np.float32(body.sum())
    parts = [(rows[:, start : start + _BLOCK], share[start : start + _BLOCK]) for start in range(0, len(body), _BLOCK)]
    buffer = np.empty((len(rows), min(_BLOCK, len(body))), np.float32)
    rough, rest, square = (np.zeros(len(rows), np.float32) for _ in range(3))
    for part, weight in parts:
        rough += part @ weight
    # Centered before squares are taken, and once more for what rounding left: a constant channel becomes 0.
    for part, weight in parts:
        part -= rough[:, None]
        rest += part @ weight
        square += np.square(part, out=buffer[:, : len(weight)]) @ weight
    scale = np.sqrt(np.maximum(square - rest**2, 0)) + np.float32(1e-6)
    if features.compact:
        scale = np.ones_like(scale)
    one = np.ones_like(scale)
    for part, weight in parts:
        part -= rest[:, None]
        part /= scale[:, None]
        norm = np.sqrt(one @ np.square(part, out=buffer[:, : len(weight)]))
        part /= np.maximum(norm, 1e-6)
    return StageDescriptors(data, rough + rest, scale)


def describe_points(features: FeatureMaps, position_mm: ArrayLike, stride: int) -> NDArray[np.float32]:
    """Compute unit descriptors (N, C) of a stage at world positions (N, 3)."""
    return stage_descriptors(features, stride).describe(features.stage(stride).sample(position_mm))


def joint_stages(features: FeatureMaps, strides: Collection[int] | None = None) -> FeatureMaps:
    """Select the stages whose descriptors probes, projections and alignments concatenate.

    Each stage counts equally in a heat map but by its number of channels in joint descriptors, of which the coarsest
    stage has most. It improves heat maps; probes on real scans are worse with it (docs/decisions.md, 2026-12-01).

    Parameters
    ----------
    features : FeatureMaps
    strides : collection of int, optional
        By default those up to `JOINT_STRIDE`; all if there are none.
    """
    if strides is None:
        strides = [stride for stride in features.strides if stride <= JOINT_STRIDE] or features.strides
    return features.select_stages(strides)


def joint_descriptors(features: FeatureMaps, position_mm: ArrayLike) -> NDArray[np.float32]:
    """Compute descriptors of all stages at world positions (N, 3), concatenated from fine to coarse, (N, sum of C).

    The unit maps are interpolated, not the raw ones: a linear function of these descriptors can then be evaluated at
    each stage's own resolution and interpolated afterwards (`linear_maps.linear_maps`), which makes projections
    and probes cheap.
    """
    position_mm = np.atleast_2d(np.asarray(position_mm, float))
    parts = [
        sample_trilinear(stage_descriptors(features, stride).unit, features.stages[stride].grid.to_index(position_mm))
        for stride in features.strides
    ]
    return np.concatenate(parts, 1)


def split_by_stage(features: FeatureMaps, weights: NDArray) -> dict[int, NDArray]:
    """Split the rows of a (sum of C, ...) matrix by stage, in the order of `joint_descriptors`."""
    ends = np.cumsum(list(features.channels.values()))[:-1]
    return dict(zip(features.strides, np.split(weights, ends), strict=True))


@dataclass(frozen=True, eq=False)
class JointDescriptors:
    """Unit vectors of all stages side by side, as plain vectors.

    Attributes
    ----------
    tokens : (N, D) float32 array
        Of the cells inside the body; D is the sum of the stages' channels, from fine to coarse.
    index : (N,) int array
        Flat index of each cell on `grid`.
    grid : Grid
        Grid of the stage whose cells the tokens are.
    blocks : dict of int to slice
        Columns of each stage.
    """

    tokens: NDArray[np.float32]
    index: NDArray[np.intp]
    grid: Grid
    blocks: dict[int, slice]

    @cached_property
    def position_mm(self) -> NDArray[np.float64]:
        """Centers of the cells, (N, 3), RAS+ mm."""
        return self.grid.cell_positions(self.index)

    def scatter(self, values: NDArray, fill: float = 0.0) -> NDArray:
        """Scatter values (N,) or (N, K) of the tokens to a volume (z, y, x) or (z, y, x, K) on `grid`."""
        out = np.full((int(np.prod(self.grid.shape)), *values.shape[1:]), fill, values.dtype)
        out[self.index] = values
        return out.reshape(*self.grid.shape, *values.shape[1:])


def joint_map(features: FeatureMaps, stride: int) -> JointDescriptors:
    """Compute joint descriptors at the centers of a stage's cells.

    Parameters
    ----------
    features : FeatureMaps
    stride : int
        A stage of `features`.
    """
    grid = features.stage(stride).grid
    index = np.flatnonzero(features.body_at(stride))
    ends = np.cumsum([0, *features.channels.values()])
    blocks = {s: slice(int(a), int(b)) for s, a, b in zip(features.strides, ends, ends[1:], strict=False)}
    return JointDescriptors(joint_descriptors(features, grid.cell_positions(index)), index, grid, blocks)
