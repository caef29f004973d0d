"""Stage features made comparable: standardised over the patient's body, then unit length.

Channels of a self-supervised encoder differ in mean and spread by orders of magnitude, and both shift between scans.
Each channel is z-scored over the body of *its own* scan, then each cell becomes a unit vector, so that dot products are
cosines within a scan and across scans. (Raw stages treated so match patients better than a learned joint embedding at
small compute.)
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .features import FeatureMaps, sample_trilinear


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
        """Unit vectors of raw features (N, C) of the same scan."""
        return _unit((raw - self.mean) / self.scale, axis=1)


_cache: "WeakKeyDictionary[FeatureMaps, dict[int, StageDescriptors]]" = WeakKeyDictionary()


def stage_descriptors(features: FeatureMaps, stride: int) -> StageDescriptors:
    """Descriptors of a stage, computed once for as long as `features` lives."""
    known = _cache.setdefault(features, {})
    if stride not in known:
        known[stride] = _standardize(features, stride)
    return known[stride]


def _standardize(features: FeatureMaps, stride: int) -> StageDescriptors:
    data = features.stages[stride].data.astype(np.float32)
    inside = data[:, features.body_at(stride)]
    mean, scale = inside.mean(1), inside.std(1) + 1e-6
    data -= mean[:, None, None, None]
    data /= scale[:, None, None, None]
    return StageDescriptors(_unit(data, axis=0), mean, scale)


def _unit(vectors: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    norm = np.sqrt(
        np.einsum("c...,c...->...", vectors, vectors) if axis == 0 else np.einsum("nc,nc->n", vectors, vectors)
    )
    return vectors / np.maximum(np.expand_dims(norm, axis), 1e-6)


def describe_points(features: FeatureMaps, position_mm: ArrayLike, stride: int) -> NDArray[np.float32]:
    """Unit descriptors (N, C) of a stage at world positions (N, 3)."""
    return stage_descriptors(features, stride).describe(features.stages[stride].sample(position_mm))


def joint_descriptors(features: FeatureMaps, position_mm: ArrayLike) -> NDArray[np.float32]:
    """Descriptors of all stages at world positions (N, 3), concatenated from fine to coarse, (N, sum of C).

    The unit maps are interpolated, not the raw ones: a linear function of these descriptors can then be evaluated at
    each stage's own resolution and interpolated afterwards, which is what makes projections and probes cheap.
    """
    position_mm = np.atleast_2d(np.asarray(position_mm, float))
    parts = [
        sample_trilinear(stage_descriptors(features, stride).unit, features.stages[stride].grid.to_index(position_mm))
        for stride in features.strides
    ]
    return np.concatenate(parts, 1)


def split_by_stage(features: FeatureMaps, weights: NDArray) -> dict[int, NDArray]:
    """Rows of a (sum of C, ...) matrix that belong to each stage, in the order of `joint_descriptors`."""
    ends = np.cumsum([features.stages[stride].channels for stride in features.strides])[:-1]
    return dict(zip(features.strides, np.split(weights, ends), strict=True))
