"""Solvers: functions that fit a classifier to examples, one per kind of probe.

All kinds work in the metric of the body: differences count the less, the more descriptors vary that way all over the
patient. A few clicks cannot tell which directions matter, but thousands of unlabeled cells of the same scan can.
(With five clicks per structure this doubled Dice; docs/measurements/benchmarks.md.)
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .classifiers import Classifier, Linear, Neighbors, Network
from .examples import FLOOR, Examples

Kind = Literal["discriminant", "prototype", "ridge", "logistic", "knn", "mlp"]

# How much of the covariance within classes comes from the body at large rather than from the examples.
_FROM_BODY = 0.5
# Examples that a class needs for each look, and how many looks it may have.
_EXAMPLES_A_LOOK, _MOST_LOOKS = 8, 8
# k-means is fitted on this many examples of a class.
_FOR_LOOKS = 300
_RIDGE = 0.1
_LOGISTIC_C = 0.1
# More examples of a class cost time and change little.
_NEAREST, _MOST_NEIGHBOURS = 3, 100
_HIDDEN, _STEPS, _RATE, _DECAY = 64, 150, 0.01, 0.1


def discriminant(examples: Examples, seed: int) -> Classifier:
    """Regularized mixture discriminants (Hastie and Tibshirani 1996; Friedman 1989), all classes equally likely.

    A class with many examples has several looks: k-means splits it, and its best look counts. The covariance within
    looks is half that of the examples and half that of the body, brought to the same size.
    """
    x = examples.descriptors
    look, owner = _looks(examples, seed)
    means = _means(x, look)
    covariance = examples.body.matrix
    if len(x) > len(means):
        residual = x - means[look]
        within = residual.T @ residual / (len(x) - len(means))
        size = np.trace(within) / max(np.trace(covariance), 1e-12)
        covariance = _FROM_BODY * size * covariance + (1 - _FROM_BODY) * within
    return replace(_gaussian(examples, means, covariance), owner=owner)


def prototype(examples: Examples, seed: int) -> Classifier:
    """Nearest class mean, by Mahalanobis distance under the body's covariance."""
    return _gaussian(examples, _means(examples.descriptors, examples.target), examples.body.matrix)


def ridge(examples: Examples, seed: int) -> Classifier:
    """One-against-all ridge regression with balanced classes."""
    from sklearn.linear_model import Ridge

    target, metric = examples.target, examples.body.metric
    model = Ridge(alpha=_RIDGE * len(target))
    model.fit(examples.descriptors @ metric, np.eye(int(target.max()) + 1)[target], sample_weight=examples.balance)
    return _linear(examples, metric @ np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))


def logistic(examples: Examples, seed: int) -> Classifier:
    """Multinomial logistic regression with balanced classes."""
    from sklearn.linear_model import LogisticRegression

    metric = examples.body.metric
    mean = examples.descriptors.mean(0)
    inputs, back = _compact((examples.descriptors - mean) @ metric)
    model = LogisticRegression(C=_LOGISTIC_C, class_weight="balanced", max_iter=300).fit(inputs, examples.target)
    rows, bias = metric @ back @ model.coef_.T, model.intercept_
    if rows.shape[1] == 1:  # scikit-learn has one function for two classes
        rows, bias = np.concatenate([-rows, rows], 1) / 2, np.concatenate([-bias, bias]) / 2
    return _linear(examples, rows, bias - mean @ rows)


def knn(examples: Examples, seed: int) -> Classifier:
    """Distance to the nearest three examples of each class, in the body's metric; at most a hundred per class."""
    metric, target = examples.body.metric, examples.target
    rng = np.random.default_rng(seed)
    own = (rng.permutation(np.flatnonzero(target == c)) for c in range(int(target.max()) + 1))
    chosen = np.sort(np.concatenate([rows[:_MOST_NEIGHBOURS] for rows in own]))
    known = examples.descriptors[chosen] @ metric
    return Neighbors(examples.split(metric), known, target[chosen].astype(np.int32), _NEAREST)


def mlp(examples: Examples, seed: int) -> Classifier:
    """Perceptron with one hidden layer of 64 units, in torch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    metric, mean = examples.body.metric, examples.descriptors.mean(0)
    inputs = (examples.descriptors - mean) @ metric
    size = float(np.sqrt((inputs**2).mean())) or 1.0
    x = torch.from_numpy((inputs / size).astype(np.float32))
    target, balance = torch.from_numpy(examples.target), torch.from_numpy(examples.balance)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        first, second = nn.Linear(x.shape[1], _HIDDEN), nn.Linear(_HIDDEN, int(target.max()) + 1)
        parameters = [*first.parameters(), *second.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            hidden = F.dropout(F.relu(first(x)), 0.5)
            (balance * F.cross_entropy(second(hidden), target, reduction="none")).mean().backward()
            optimizer.step()
    layers = [p.detach().numpy() for p in (first.weight, first.bias, second.weight, second.bias)]
    rows = metric @ layers[0].T / size
    bias = (layers[1] - mean @ rows).astype(np.float32)
    return Network(examples.split(rows), bias, np.ascontiguousarray(layers[2].T), layers[3].copy())


SOLVERS: dict[Kind, Callable[[Examples, int], Classifier]] = {
    "discriminant": discriminant,
    "prototype": prototype,
    "ridge": ridge,
    "logistic": logistic,
    "knn": knn,
    "mlp": mlp,
}
KINDS: tuple[Kind, ...] = tuple(SOLVERS)


def _looks(examples: Examples, seed: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Subclass of each example, and the class of each subclass."""
    target = examples.target
    count = np.clip(np.bincount(target) // _EXAMPLES_A_LOOK, 1, _MOST_LOOKS)
    if count.max() == 1:
        return target, np.arange(len(count), dtype=np.int32)
    metric = examples.body.metric
    look, owner = np.empty(len(target), np.intp), list[int]()
    for c, looks in enumerate(count):
        own = np.flatnonzero(target == c)
        found = _split(examples.descriptors[own], metric, int(looks), seed)
        look[own] = len(owner) + found
        owner += [c] * (int(found.max()) + 1)
    return look, np.array(owner, np.int32)


def _split(x: NDArray, metric: NDArray, count: int, seed: int) -> NDArray[np.intp]:
    """k-means cluster of each row in a metric, numbered without gaps."""
    from sklearn.cluster import KMeans

    if count == 1:
        return np.zeros(len(x), np.intp)
    sample = x[np.random.default_rng(seed).permutation(len(x))[:_FOR_LOOKS]]
    found = KMeans(count, n_init=1, max_iter=30, random_state=seed).fit_predict(sample @ metric)
    centers = np.stack([sample[found == k].mean(0) for k in np.unique(found)])
    # The nearest center in the metric, without projecting all rows.
    rows = metric @ (metric.T @ centers.T)
    nearest = (x @ rows - 0.5 * (centers.T * rows).sum(0)).argmax(1)
    return np.unique(nearest, return_inverse=True)[1]


def _gaussian(examples: Examples, means: NDArray, covariance: NDArray) -> Linear:
    """Log-likelihoods of Gaussians with one covariance, without the common term."""
    floor = FLOOR * np.trace(covariance) / len(covariance) + 1e-12
    rows = np.linalg.solve(covariance + floor * np.eye(len(covariance), dtype=np.float32), means.T)
    return _linear(examples, rows, -0.5 * (means.T * rows).sum(0))


def _linear(examples: Examples, rows: NDArray, bias: NDArray) -> Linear:
    return Linear(examples.split(rows), np.asarray(bias, np.float32))


def _means(x: NDArray, target: NDArray) -> NDArray[np.float32]:
    return np.stack([x[target == c].mean(0) for c in range(int(target.max()) + 1)])


def _compact(x: NDArray) -> tuple[NDArray, NDArray]:
    """Coordinates in the subspace of few examples, and the inverse map; an L2 penalty is preserved."""
    if len(x) >= x.shape[1]:
        return x, np.eye(x.shape[1], dtype=x.dtype)
    left, size, axes = np.linalg.svd(x, full_matrices=False)
    return left * size, axes.T
