"""Training examples of a probe: descriptors of painted voxels, of one or several scans."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.descriptors import joint_descriptors, joint_stages
from ..spatial import LabelVolume
from ..spatial.volume import labeled_voxels
from ..util.arguments import checked

MAX_VOXELS_PER_CLASS = 1000
FLOOR = 0.1
"""Share of the mean variance that is added to every direction of the body's covariance: those in which nothing varies
would count for everything otherwise."""

_BODY_CELLS = 3000


@dataclass(frozen=True, eq=False)
class BodyCovariance:
    """Covariance of joint descriptors in the bodies of scans, i.e. of mostly unlabeled cells.

    Parameters
    ----------
    matrix : (C, C) float32 array
    """

    matrix: NDArray[np.float32]

    @cached_property
    def metric(self) -> NDArray[np.float32]:
        """(C, C) matrix that turns Mahalanobis distances under the covariance into Euclidean ones."""
        variance, axes = np.linalg.eigh(self.matrix)
        return np.asarray(axes / np.sqrt(np.maximum(variance, 0) + FLOOR * variance.mean() + 1e-12), np.float32)


@dataclass(frozen=True, eq=False)
class Examples:
    """Descriptors with their labels.

    Parameters
    ----------
    descriptors : (N, C) float32 array
        Joint descriptors, stages from fine to coarse.
    values : (N,) int array
        As painted.
    channels : dict of int to int
        Channels of each stride.
    body : BodyCovariance
        Of the scans.
    outside : int
        Label outside the body: the value painted there, else 0.
    model, fingerprint, notice : str
        Name, fingerprint and license notice of the encoder.
    names : dict of int to str
        Names of the values, if known.
    scans : int
        Number of scans that they come from.
    """

    descriptors: NDArray[np.float32]
    values: NDArray[np.integer]
    channels: dict[int, int]
    body: BodyCovariance
    outside: int
    model: str
    fingerprint: str
    notice: str = ""
    names: dict[int, str] = field(default_factory=dict)
    scans: int = 1

    @property
    def classes(self) -> tuple[int, ...]:
        """Painted values, sorted."""
        return tuple(int(value) for value in np.unique(self.values))

    @property
    def target(self) -> NDArray[np.intp]:
        """Class of each example, counted from 0."""
        return np.searchsorted(self.classes, self.values)

    @property
    def balance(self) -> NDArray[np.float32]:
        """Weight of each example that balances the classes; the mean is 1."""
        target = self.target
        count = np.bincount(target)
        return (len(target) / (len(count) * count[target])).astype(np.float32)

    def split(self, rows: NDArray) -> dict[int, NDArray[np.float32]]:
        """Split the rows of a (C, ...) matrix by stride."""
        ends = np.cumsum(list(self.channels.values()))[:-1]
        parts = np.split(np.asarray(rows, np.float32), ends)
        return dict(zip(self.channels, parts, strict=True))


@checked
def gather(
    features: FeatureMaps, labels: LabelVolume, *, strides: Collection[int] | None = None, seed: int = 0
) -> Examples:
    """Collect examples from the painted voxels of a scan, a bounded number per class.

    Parameters
    ----------
    features : FeatureMaps
    labels : LabelVolume
        Strokes, points or a whole segmentation, on any grid; 0 is unlabeled.
    strides : collection of int, optional
        Stages to use; by default those of `joint_stages`.
    seed : int
        Seed of the sampling of voxels of very large classes.
    """
    features = joint_stages(features, strides)
    painted = labeled_voxels(labels.data)
    values = labels.data.reshape(-1)[painted]
    if len(values) and values.min() < 0:
        raise InputError(
            "negative label",
            where=labels.name,
            found=int(values.min()),
            expected="0 = unlabeled, 1 and above = classes",
        )
    chosen = _bounded(values, seed)
    position_mm, values = labels.grid.cell_positions(painted[chosen]), values[chosen].astype(np.int64)
    return Examples(
        joint_descriptors(features, position_mm),
        values,
        features.channels,
        body_covariance(features),
        _outside_value(features, position_mm, values),
        features.model,
        features.fingerprint,
        features.notice,
        {value: name for value, name in labels.names.items() if value in set(values.tolist())},
    )


def together(parts: Iterable[Examples]) -> Examples:
    """Join examples of several scans; they must have the same model and stages."""
    parts = [part for part in parts if len(part.values)]
    if not parts:
        raise InputError("nothing is painted", expected="strokes of two classes or more")
    first = parts[0]
    for other in parts[1:]:
        if other.fingerprint != first.fingerprint:
            raise InputError("features come from different models", found=other.model, expected=first.model)
        if other.channels != first.channels:
            raise InputError(
                "features have other stages", found=sorted(other.channels), expected=sorted(first.channels)
            )
    outside = [part.outside for part in parts if part.outside]
    return Examples(
        np.concatenate([part.descriptors for part in parts]),
        np.concatenate([part.values for part in parts]),
        first.channels,
        first.body if len(parts) == 1 else _mean(part.body for part in parts),
        outside[0] if outside else 0,
        first.model,
        first.fingerprint,
        first.notice,
        {value: name for part in reversed(parts) for value, name in part.names.items()},
        sum(part.scans for part in parts),
    )


_covariances: "WeakKeyDictionary[FeatureMaps, BodyCovariance]" = WeakKeyDictionary()


def body_covariance(features: FeatureMaps) -> BodyCovariance:
    """Covariance of the joint descriptors over the body, from a fixed sample of cells; cached."""
    if features not in _covariances:
        inside = features.body_at(features.strides[0])
        cells = np.flatnonzero(inside)
        chosen = np.sort(np.random.default_rng(0).permutation(cells)[:_BODY_CELLS])
        sample = joint_descriptors(features, features.finest.grid.cell_positions(chosen))
        sample -= sample.mean(0)
        matrix = np.asarray(sample.T @ sample / max(1, len(sample) - 1), np.float32)
        _covariances[features] = BodyCovariance(matrix)
    return _covariances[features]


def _mean(bodies: Iterable[BodyCovariance]) -> BodyCovariance:
    return BodyCovariance(np.mean([body.matrix for body in bodies], axis=0, dtype=np.float32))


def _bounded(values: NDArray, seed: int) -> NDArray[np.intp]:
    """Sorted indices of the examples to retain."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(values == v))[:MAX_VOXELS_PER_CLASS] for v in np.unique(values)]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)


def _outside_value(features: FeatureMaps, position_mm: NDArray, values: NDArray) -> int:
    outside = values[~features.body[tuple(features.grid.nearest_index(position_mm).T)]]
    found, counts = np.unique(outside, return_counts=True)  # values may be huge
    return int(found[counts.argmax()]) if len(found) else 0
