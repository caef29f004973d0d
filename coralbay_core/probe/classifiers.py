"""Classifiers: they map the descriptor of a cell to one score per class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..features import FeatureMaps
from ..features.linear_maps import WHOLE, Box, box_shape, descriptor_slabs, linear_slabs


class Classifier(Protocol):
    """Scores of classes for all cells of a scan.

    Parameters
    ----------
    form : str
        Name of the form in a file.
    """

    form: ClassVar[str]

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the stages that it reads."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    def scores(self, features: FeatureMaps, box: Box = WHOLE) -> Tensor:
        """(classes, z, y, x) float32 on the finest grid or a part of it; higher is more likely."""
        ...

    def arrays(self) -> dict[str, NDArray]:
        """Return the arrays for a file."""
        ...


@dataclass(frozen=True, eq=False)
class Linear:
    """Linear functions of the joint descriptor; of several functions per class the highest counts.

    Parameters
    ----------
    weights : dict of int to (C, functions) float32 array
        Weights by stride.
    bias : (functions,) float32 array
    owner : (functions,) int array, optional
        Class of each function, from 0; rising. By default each is a class of its own.
    """

    weights: Mapping[int, NDArray[np.float32]]
    bias: NDArray[np.float32]
    owner: NDArray[np.integer] | None = None
    form: ClassVar[str] = "linear"

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(sorted(self.weights))

    @property
    def classes(self) -> int:
        return len(self.bias) if self.owner is None else int(self.owner.max()) + 1

    def scores(self, features: FeatureMaps, box: Box = WHOLE) -> Tensor:
        out, bias = torch.empty(self.classes, *box_shape(features, box)), torch.from_numpy(self.bias)
        for part, functions in linear_slabs(features, self.weights, box=box):
            out[:, part] = self._best(functions.add_(bias[:, None, None, None]))
        return out

    def at(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, classes) of joint descriptors (N, C)."""
        rows = np.concatenate([self.weights[stride] for stride in self.strides])
        return self._best(torch.from_numpy(descriptors @ rows + self.bias).T).T.numpy()

    def _best(self, functions: Tensor) -> Tensor:
        """Return the highest function of each class."""
        if self.owner is None or len(self.owner) == self.classes:
            return functions
        groups = np.split(np.arange(len(self.owner)), np.flatnonzero(np.diff(self.owner)) + 1)
        return torch.stack([functions[int(g[0]) : int(g[-1]) + 1].amax(0) for g in groups])

    def arrays(self) -> dict[str, NDArray]:
        owner = {} if self.owner is None else {"owner": self.owner.astype(np.int32)}
        return _by_stride("weights", self.weights) | {"bias": self.bias} | owner

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "Linear":
        weights, bias = _strides_of("weights", arrays), _floats(arrays["bias"], 1)
        _require(all(rows.shape[1] == len(bias) for rows in weights.values()), "weights and bias differ")
        owner = np.asarray(arrays["owner"], np.int32) if "owner" in arrays else None
        if owner is not None:
            _require(owner.shape == bias.shape and _rises_from_0(owner), "functions without a class")
        return cls(weights, bias, owner)


@dataclass(frozen=True, eq=False)
class Network:
    """A perceptron with one hidden layer. The first layer is linear, so it too runs at each stage's own resolution.

    Parameters
    ----------
    weights : dict of int to (C, hidden) float32 array
        Weights of the first layer, by stride.
    bias : (hidden,) float32 array
    second : (hidden, classes) float32 array
    second_bias : (classes,) float32 array
    """

    weights: Mapping[int, NDArray[np.float32]]
    bias: NDArray[np.float32]
    second: NDArray[np.float32]
    second_bias: NDArray[np.float32]
    form: ClassVar[str] = "network"

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(sorted(self.weights))

    @property
    def classes(self) -> int:
        return len(self.second_bias)

    def scores(self, features: FeatureMaps, box: Box = WHOLE) -> Tensor:
        out, bias = torch.empty(self.classes, *box_shape(features, box)), torch.from_numpy(self.bias)
        second, second_bias = torch.from_numpy(self.second).T, torch.from_numpy(self.second_bias)
        for part, hidden in linear_slabs(features, self.weights, box=box):
            active = hidden.add_(bias[:, None, None, None]).relu_().flatten(1)
            out[:, part] = torch.addmm(second_bias[:, None], second, active).view(-1, *hidden.shape[1:])
        return out

    def arrays(self) -> dict[str, NDArray]:
        own = {"bias": self.bias, "second": self.second, "second_bias": self.second_bias}
        return _by_stride("weights", self.weights) | own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "Network":
        made = cls(
            _strides_of("weights", arrays),
            _floats(arrays["bias"], 1),
            _floats(arrays["second"], 2),
            _floats(arrays["second_bias"], 1),
        )
        hidden = len(made.bias)
        _require(all(rows.shape[1] == hidden for rows in made.weights.values()), "weights and bias differ")
        _require(made.second.shape == (hidden, made.classes), "layers do not fit each other")
        return made


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Local-mean k-NN: distance to the mean of the nearest examples of each class (Mitani and Hamamoto 2006).

    Distances are taken in the metric that `weights` project into.

    Parameters
    ----------
    weights : dict of int to (C, K) float32 array
        Projections by stride.
    examples : (N, K) float32 array
        Projected.
    target : (N,) int array
        Class of each, from 0.
    nearest : int
        Number of nearest examples per class that are averaged.
    """

    weights: Mapping[int, NDArray[np.float32]]
    examples: NDArray[np.float32]
    target: NDArray[np.integer]
    nearest: int
    form: ClassVar[str] = "neighbours"  # codespell:ignore neighbours  # the name in files

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(sorted(self.weights))

    @property
    def classes(self) -> int:
        return int(self.target.max()) + 1

    def scores(self, features: FeatureMaps, box: Box = WHOLE) -> Tensor:
        body = torch.from_numpy(features.body_at(features.strides[0])[box])
        rows = torch.from_numpy(np.concatenate([self.weights[stride] for stride in self.strides]))
        known = [torch.from_numpy(self.examples[self.target == c]) for c in range(self.classes)]
        out = torch.zeros(self.classes, *body.shape)
        farthest = torch.tensor(0.0)
        for part, inside, descriptors in descriptor_slabs(features, self.strides, box=box):
            near = self._scores(descriptors @ rows, known)
            out[:, part][:, torch.from_numpy(inside)] = near
            farthest = torch.minimum(farthest, near.amin()) if near.numel() else farthest
        # Nothing is known of cells outside the body: they look like no class.
        out[:, ~body] = farthest
        return out

    def _scores(self, cells: Tensor, known: list[Tensor]) -> Tensor:
        rows = []
        for examples in known:
            count = min(self.nearest, len(examples))
            rows.append(-torch.cdist(cells, examples).topk(count, 1, largest=False).values.mean(1))
        return torch.stack(rows)

    def arrays(self) -> dict[str, NDArray]:
        own = {"examples": self.examples, "target": self.target.astype(np.int32), "nearest": np.array([self.nearest])}
        return _by_stride("weights", self.weights) | own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "Neighbors":
        weights, examples = _strides_of("weights", arrays), _floats(arrays["examples"], 2)
        target = np.asarray(arrays["target"], np.int32)
        _require(all(rows.shape[1] == examples.shape[1] for rows in weights.values()), "examples and metric differ")
        _require(target.shape == (len(examples),) and len(target) > 0, "examples without a class")
        _require(np.array_equal(np.unique(target), np.arange(target.max() + 1)), "classes without examples")
        return cls(weights, examples, target, max(1, int(arrays["nearest"][0])))


FORMS: dict[str, type[Linear] | type[Network] | type[Neighbors]] = {
    made.form: made for made in (Linear, Network, Neighbors)
}


def _by_stride(name: str, weights: Mapping[int, NDArray]) -> dict[str, NDArray]:
    return {f"{name}.{stride}": rows for stride, rows in weights.items()}


def _strides_of(name: str, arrays: Mapping[str, NDArray]) -> dict[int, NDArray[np.float32]]:
    found = {
        int(key.removeprefix(f"{name}.")): _floats(rows, 2)
        for key, rows in arrays.items()
        if key.startswith(f"{name}.")
    }
    _require(bool(found) and min(found, default=0) > 0, "no weights of any stage")
    return dict(sorted(found.items()))


def _rises_from_0(owner: NDArray) -> bool:
    """Whether classes are sorted and none is missing."""
    return int(owner[0]) == 0 and bool(np.isin(np.diff(owner), (0, 1)).all())


def _floats(array: NDArray, axes: int) -> NDArray[np.float32]:
    _require(array.ndim == axes and array.size > 0, f"found shape {array.shape}")
    return np.ascontiguousarray(array, np.float32)


def _require(fine: bool, what: str) -> None:
    if not fine:
        raise ValueError(what)
