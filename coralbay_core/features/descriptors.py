"""Descriptors: stage features standardized over the patient's body, then scaled to unit length.

Channels of a self-supervised encoder differ in mean and spread by orders of magnitude, and both shift between scans.
Each channel is z-scored over the body of *its own* scan, then each cell becomes a unit vector, so that dot products are
cosines within a scan and across scans. (Raw stages treated so match patients better than a learned joint embedding at
small compute.) Compact features are centered only: their channels are principal coordinates, and equal spread
would amplify noise.
"""

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..spatial import Grid
from .feature_maps import FeatureMaps, sample_trilinear


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
        return _unit((raw - self.mean) / self.scale, axis=1)


_cache: "WeakKeyDictionary[FeatureMaps, dict[int, StageDescriptors]]" = WeakKeyDictionary()


def stage_descriptors(features: FeatureMaps, stride: int) -> StageDescriptors:
    """Compute the descriptors of a stage; they are cached as long as `features` lives."""
    known = _cache.setdefault(features, {})
    if stride not in known:
        known[stride] = _standardize(features, stride)
    return known[stride]


def _standardize(features: FeatureMaps, stride: int) -> StageDescriptors:
    data = features.stage(stride).data.astype(np.float32)
    inside = data[:, features.body_at(stride)]
    mean, scale = inside.mean(1), inside.std(1) + 1e-6
    if features.compact:
        scale = np.ones_like(scale)
    data -= mean[:, None, None, None]
    data /= scale[:, None, None, None]
    return StageDescriptors(_unit(data, axis=0), mean, scale)


def _unit(vectors: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    norm = np.sqrt(
        np.einsum("c...,c...->...", vectors, vectors) if axis == 0 else np.einsum("nc,nc->n", vectors, vectors)
    )
    return vectors / np.maximum(np.expand_dims(norm, axis), 1e-6)


def describe_points(features: FeatureMaps, position_mm: ArrayLike, stride: int) -> NDArray[np.float32]:
    """Compute unit descriptors (N, C) of a stage at world positions (N, 3)."""
    return stage_descriptors(features, stride).describe(features.stage(stride).sample(position_mm))


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
