"""Fitting of probes to strokes on one or several scans."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..spatial import LabelVolume
from ..util.arguments import checked
from .classifiers import Classifier, Linear
from .examples import Examples, gather, together
from .model import Probe
from .solvers import KINDS, SOLVERS, Kind

DEFAULT_KIND: Kind = "discriminant"
_FOLDS = 3  # one of so many parts of the labels is left out to see how sure scores are


@checked
def fit_probe(
    features: FeatureMaps,
    labels: LabelVolume,
    *,
    kind: Kind = DEFAULT_KIND,
    strides: Collection[int] | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a probe to the labeled voxels of one scan.

    Parameters
    ----------
    features : FeatureMaps
    labels : LabelVolume
        Strokes, points or a segmentation: 0 is unlabeled, any other value a class (paint one for the background, too).
    kind : str
        One of `KINDS`; `solvers` describes them, docs/measurements/benchmarks.md compares them.
    strides : collection of int, optional
        Stages to use; by default those up to stride 16 (`features.descriptors.joint_stages`).
    seed : int
        Seed of the sampling of voxels of very large classes, and of the network.
    """
    return fit_examples([gather(features, labels, strides=strides, seed=seed)], kind=kind, seed=seed, where=labels.name)


def fit_probe_to_scans(
    scans: Iterable[tuple[FeatureMaps, LabelVolume]],
    *,
    kind: Kind = DEFAULT_KIND,
    strides: Collection[int] | None = None,
    seed: int = 0,
    early: Callable[[Probe], Any] | None = None,
) -> Probe:
    """Fit one probe to labels on several scans of one encoder; label values are shared by all scans.

    Parameters are those of `fit_probe` and `fit_examples`.
    """
    parts = [gather(features, labels, strides=strides, seed=seed) for features, labels in scans]
    return fit_examples(parts, kind=kind, seed=seed, early=early)


def fit_examples(
    parts: Sequence[Examples],
    *,
    kind: Kind = DEFAULT_KIND,
    seed: int = 0,
    where: object = None,
    early: Callable[[Probe], Any] | None = None,
) -> Probe:
    """Fit a probe to examples that were collected before.

    Parameters
    ----------
    parts : sequence of Examples
        A scan each.
    kind, seed : optional
        As in `fit_probe`.
    where : object, optional
        Source of the labels, for error messages.
    early : callable, optional
        Takes the probe half-way, when its labels are final and its probabilities are not: `sharpness` is still 1.
    """
    if kind not in KINDS:
        raise InputError("unknown probe", found=kind, expected=f"one of {', '.join(KINDS)}")
    examples = together(parts)
    values = examples.classes
    if len(values) < 2:
        raise InputError(
            "strokes need two classes or more",
            where=where,
            found=f"values {list(values)}",
            expected="e.g. 1 = background, 2 = organ",
        )
    classifier = SOLVERS[kind](examples, seed)
    probe = Probe(
        kind,
        classifier,
        values,
        examples.outside,
        1.0,
        examples.model,
        examples.fingerprint,
        examples.names,
        examples.notice,
        examples.scans,
    )
    if early is not None:
        early(probe)
    return replace(probe, sharpness=_sharpness(classifier, examples, kind, seed))


def _sharpness(classifier: Classifier, examples: Examples, kind: Kind, seed: int) -> float:
    """Softmax factor that maximizes the likelihood of held-out examples.

    Logistic regression and the network are trained as probabilities, so theirs is 1; distances to neighbors are in
    standard deviations of the body, and serve as they are.
    """
    if kind == "logistic" or not isinstance(classifier, Linear):
        return 1.0
    target = examples.target
    if np.bincount(target).min() < 2:
        # One example of a class cannot be left out: scores that span a few units are as good a guess as any.
        return float(3 / max(np.ptp(classifier.at(examples.descriptors), axis=1).mean(), 1e-6))
    left_out = _last_part(target)
    trained = SOLVERS[kind](_subset(examples, ~left_out), seed)
    assert isinstance(trained, Linear)
    return _likeliest(trained.at(examples.descriptors[left_out]), target[left_out], examples.balance[left_out])


def _last_part(target: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Select the last third of the examples of each class, at least one: mostly a part of a stroke, or other slices."""
    left_out = np.zeros(len(target), bool)
    for c in range(int(target.max()) + 1):
        own = np.flatnonzero(target == c)
        left_out[own[-max(1, len(own) // _FOLDS) :]] = True
    return left_out


def _subset(examples: Examples, chosen: NDArray[np.bool_]) -> Examples:
    return replace(examples, descriptors=examples.descriptors[chosen], values=examples.values[chosen])


def _likeliest(scores: NDArray, target: NDArray, balance: NDArray) -> float:
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    unit = max(float(np.ptp(scores, axis=1).mean()), 1e-6)

    def surprise(log_factor: float) -> float:
        chosen = log_softmax(np.exp(log_factor) / unit * scores, axis=1)[np.arange(len(target)), target]
        return -float((balance * chosen).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-2, 5), method="bounded").x) / unit)
