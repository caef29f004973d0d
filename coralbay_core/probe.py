"""Few-shot segmentation: a linear probe on frozen descriptors, fitted to strokes in milliseconds.

A linear function of interpolated descriptors is the interpolation of the linear function: a probe scores each stage at
its own resolution, and only the scores of the classes are brought to the CT's grid, slab by slab, where the best class
wins. Memory and time are those of the label map, not of the features.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .descriptors import joint_descriptors, split_by_stage, stage_descriptors
from .errors import InputError, MissingFileError
from .features import FeatureMaps
from .preprocess import resample_blocks
from .volume import Grid, LabelVolume

Kind = Literal["ridge", "prototype"]
KINDS: tuple[Kind, ...] = ("ridge", "prototype")
MAX_VOXELS_PER_CLASS = 4000


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe.

    Parameters
    ----------
    kind : str
    weights : dict of int to (C, classes) float32 array
        By stride.
    bias : (classes,) float32 array
    values : tuple of int
        Label value of each class, as it was painted.
    outside : int
        Label outside the body: the value painted there, else 0.
    sharpness : float
        Factor on the scores before a softmax makes them probabilities.
    model, fingerprint : str
        Of the encoder whose features it was fitted on.
    names : dict of int to str
        Of the values, where known.
    notice : str
        What whoever uses it must know of the license of the weights.
    """

    kind: Kind
    weights: dict[int, NDArray[np.float32]]
    bias: NDArray[np.float32]
    values: tuple[int, ...]
    outside: int
    sharpness: float
    model: str
    fingerprint: str
    names: dict[int, str] = field(default_factory=dict)
    notice: str = ""

    def segment(self, features: FeatureMaps, grid: Grid) -> NDArray:
        """Label map on a grid, in the painted values."""
        return self.segment_with_probability(features, grid, probability=False)[0]

    def segment_with_probability(
        self, features: FeatureMaps, grid: Grid, *, probability: bool = True
    ) -> tuple[NDArray, NDArray[np.float32] | None]:
        """Label map, and the probability of the label that each voxel got (0 outside the body)."""
        values = np.array(self.values, np.min_scalar_type(max(self.values)))
        labels = np.full(grid.shape, self.outside, values.dtype)
        confidence = np.zeros(grid.shape, np.float32) if probability else None
        for part, inside, scores in self._scores(features, grid):
            labels[part] = np.where(inside, values[scores.argmax(0)], labels.dtype.type(self.outside))
            if confidence is not None:
                shifted = np.exp(self.sharpness * (scores - scores.max(0)))
                confidence[part] = np.where(inside, 1 / shifted.sum(0), 0)
        return labels, confidence

    def _scores(self, features: FeatureMaps, grid: Grid) -> Iterator[tuple[slice, NDArray, NDArray]]:
        """Slabs of the grid with what is body and the (classes, z, y, x) scores."""
        self._check(features)
        maps = [
            (np.tensordot(rows.T, stage_descriptors(features, stride).unit, 1), features.stages[stride].grid)
            for stride, rows in self.weights.items()
        ]
        size = max(grid.shape[1] * grid.shape[2], 4_000_000 // len(self.values))
        streams = [
            [resample_blocks(channel, stage_grid, grid, block_voxels=size) for channel in scores]
            for scores, stage_grid in maps
        ]
        for part, inside in resample_blocks(features.body, features.grid, grid, order=0, fill=0, block_voxels=size):
            total = np.zeros((len(self.values), *inside.shape), np.float32) + self.bias[:, None, None, None]
            for stage in streams:
                for channel, stream in enumerate(stage):
                    total[channel] += next(stream)[1]
            yield part, inside, total

    def _check(self, features: FeatureMaps) -> None:
        if features.fingerprint != self.fingerprint:
            raise InputError("probe was fitted on another model", found=features.model, expected=self.model)
        if not set(self.weights) <= set(features.strides):
            raise InputError("features lack stages of the probe", found=features.strides, expected=sorted(self.weights))

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file, whole or not at all."""
        from safetensors.numpy import save_file

        path = Path(path)
        tensors = {f"weights.{stride}": np.ascontiguousarray(rows) for stride, rows in self.weights.items()}
        about = {
            key: getattr(self, key)
            for key in ("kind", "values", "outside", "sharpness", "model", "fingerprint", "names", "notice")
        }
        temporary = path.with_name(path.name + ".part")
        try:
            save_file(tensors | {"bias": self.bias}, temporary, {"probe": json.dumps(about)})
            temporary.replace(path)
        except OSError as error:
            raise InputError("probe could not be written", where=path, found=error.strerror or error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return path


def load_probe(path: str | Path) -> Probe:
    """A probe that `Probe.save` wrote."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise MissingFileError("no such probe", where=path)
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["probe"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise InputError(
            "not a probe", where=path, found=error, expected="a file written by `coralbay probe fit`"
        ) from error
    weights = {int(key.removeprefix("weights.")): rows for key, rows in tensors.items() if key != "bias"}
    about["values"] = tuple(about["values"])
    about["names"] = {int(value): name for value, name in about["names"].items()}
    return Probe(weights=dict(sorted(weights.items())), bias=tensors["bias"], **about)


def fit_probe(features: FeatureMaps, labels: LabelVolume, *, kind: Kind = "ridge", seed: int = 0) -> Probe:
    """Fit a probe to the labelled voxels of one scan.

    Parameters
    ----------
    features : FeatureMaps
    labels : LabelVolume
        Strokes: 0 is unlabelled, any other value a class (paint one for the background, too).
    kind : str
        ``ridge``, one-against-all ridge regression with balanced classes, or ``prototype``, the nearest class mean.
    seed : int
        Of the choice of voxels where a class has very many.
    """
    if kind not in KINDS:
        raise InputError("unknown probe", found=kind, expected=f"one of {', '.join(KINDS)}")
    values, position_mm, target = _labelled(labels, seed)
    if len(values) < 2:
        raise InputError(
            "strokes need two classes or more",
            where=labels.name,
            found=f"values {values.tolist()}",
            expected="e.g. 1 = background, 2 = organ",
        )
    descriptors = joint_descriptors(features, position_mm)
    solve = _ridge if kind == "ridge" else _prototypes
    weights, bias = solve(descriptors, target, len(values))
    return Probe(
        kind,
        split_by_stage(features, weights),
        bias,
        tuple(int(value) for value in values),
        _outside_value(features, position_mm, values[target]),
        _sharpness(descriptors @ weights + bias, target),
        features.model,
        features.fingerprint,
        {int(value): labels.names[int(value)] for value in values if int(value) in labels.names},
        features.notice,
    )


def _labelled(labels: LabelVolume, seed: int) -> tuple[NDArray, NDArray, NDArray]:
    """Painted values, world positions (N, 3) of a bounded number of voxels of each, and their class (N,)."""
    rng = np.random.default_rng(seed)
    painted = np.flatnonzero(labels.data)
    values, target = np.unique(labels.data.reshape(-1)[painted], return_inverse=True)
    if len(values) and values[0] < 0:
        raise InputError(
            "negative label", where=labels.name, found=int(values[0]), expected="0 = unlabelled, classes above"
        )
    chosen = [rng.permutation(np.flatnonzero(target == c))[:MAX_VOXELS_PER_CLASS] for c in range(len(values))]
    kept = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, int)
    index = np.stack(np.unravel_index(painted[kept], labels.shape), 1)
    return values, labels.grid.to_world(index), target[kept]


def _ridge(descriptors: NDArray, target: NDArray, classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from sklearn.linear_model import Ridge

    share = np.bincount(target, minlength=classes)
    balance = len(target) / (classes * share[target])
    # One unit vector a stage: a penalty of a hundredth of the voxels evens out strokes without flattening them.
    model = Ridge(alpha=0.01 * len(target) / np.sqrt(descriptors.shape[1]))
    model.fit(descriptors, np.eye(classes)[target], sample_weight=balance)
    weights = np.atleast_2d(model.coef_).T
    return weights.astype(np.float32), np.atleast_1d(model.intercept_).astype(np.float32)


def _prototypes(descriptors: NDArray, target: NDArray, classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    means = np.stack([descriptors[target == c].mean(0) for c in range(classes)], 1)
    means /= np.linalg.norm(means, axis=0)
    return means.astype(np.float32), np.zeros(classes, np.float32)


def _sharpness(scores: NDArray, target: NDArray) -> float:
    """Softmax factor under which the strokes are most likely."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def surprise(log_factor: float) -> float:
        return -float(log_softmax(np.exp(log_factor) * scores, axis=1)[np.arange(len(target)), target].mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-1, 4), method="bounded").x))


def _outside_value(features: FeatureMaps, position_mm: NDArray, painted: NDArray) -> int:
    index = np.rint(features.grid.to_index(position_mm)).astype(int)
    index = np.clip(index, 0, np.array(features.grid.shape) - 1)
    outside = painted[~features.body[tuple(index.T)]]
    return int(np.bincount(outside).argmax()) if len(outside) else 0
