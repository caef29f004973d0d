"""Weights of the stages: given, equal, or chosen from the clicks."""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.descriptors import describe_points

Weights = Mapping[int, float] | Literal["auto"] | None

STEPS = 10
BODY_CELLS = 1500
MOST_POINTS = 64
# Places nearer than this look alike to the coarse stages whatever they are, so they do not score one another.
GAP_MM = 20.0
# How much better than equal weights others must explain the clicks per unit of divergence from them.
CAUTION = 1.0


class _HasStrides(Protocol):
    @property
    def strides(self) -> tuple[int, ...]: ...


def resolve_weights(
    weights: Weights,
    features: FeatureMaps,
    query: _HasStrides,
    positive: ArrayLike = (),
    negative: ArrayLike = (),
) -> dict[int, float]:
    """Resolve weights to shares of the strides that both sides have; they sum to 1.

    For `auto`, `query` must be the features that the points lie in.
    """
    common = sorted(set(features.strides) & set(query.strides))
    if weights == "auto":
        assert isinstance(query, FeatureMaps), "auto weights are chosen where the points lie"
        return auto_weights(query, positive, negative, strides=common)
    chosen = dict.fromkeys(common, 1.0) if weights is None else {s: float(w) for s, w in weights.items() if w}  # type: ignore[union-attr]
    total = sum(chosen.values())
    if not set(chosen) <= set(common) or not 0 < total < np.inf or min(chosen.values()) < 0:
        raise InputError(
            "unusable scale weights",
            found=dict(weights or {}),  # type: ignore[arg-type]
            expected=f"weights >= 0 of strides among {common}, not all 0",
        )
    return {stride: weight / total for stride, weight in chosen.items()}


def auto_weights(
    features: FeatureMaps,
    positive: ArrayLike,
    negative: ArrayLike = (),
    *,
    strides: Collection[int] | None = None,
    seed: int = 0,
) -> dict[int, float]:
    """Choose weights that rank each positive place, scored by the others, above the body at large and the negatives.

    Each positive is scored by the others (those at least `GAP_MM` away, where there are such), the body and the
    negatives by all of them; the weights, in tenths, make the positives' ranks best, less a penalty for leaving equal
    weights. A single click tells nothing about the scales: weights are equal without a second positive or a negative.

    Parameters
    ----------
    features : FeatureMaps
        In which the places lie.
    positive, negative : (N, 3) arrays
        World mm.
    strides : collection of int, optional
    seed : int
        Of the sample of the body.

    Returns
    -------
    dict of int to float
        They sum to 1.
    """
    strides = sorted(strides or features.strides)
    rng = np.random.default_rng(seed)
    kept, against = (_some(np.asarray(p, float).reshape(-1, 3), rng) for p in (positive, negative))
    equal = dict.fromkeys(strides, 1 / len(strides))
    if len(strides) < 2 or (len(kept) < 2 and not len(against)):
        return equal
    body = _some(_body_cells(features), rng, BODY_CELLS)
    vectors = [{s: describe_points(features, places, s) for s in strides} for places in (kept, against, body)]
    candidates = np.array(list(_mixtures(len(strides))))
    cosines = [np.stack([group[s] @ vectors[0][s].T for s in strides]) for group in vectors]
    surprise = _surprise(cosines, candidates, _vouchers(kept))
    penalty = CAUTION * _divergence(candidates) / max(1, len(kept) + len(against) - 1)
    best = candidates[int((surprise + penalty).argmin())]
    return {s: float(w) for s, w in zip(strides, best, strict=True) if w}


def _some(places: NDArray, rng: np.random.Generator, most: int = MOST_POINTS) -> NDArray:
    return places if len(places) <= most else places[np.sort(rng.choice(len(places), most, replace=False))]


def _body_cells(features: FeatureMaps) -> NDArray:
    return features.finest.grid.cell_positions(features.body_at(features.strides[0]))


def _mixtures(count: int) -> Iterator[NDArray[np.float64]]:
    """All weights of `count` strides in steps of a tenth."""
    for bars in combinations(range(STEPS + count - 1), count - 1):
        yield np.diff([-1, *bars, STEPS + count - 1]) / STEPS - 1 / STEPS


def _divergence(mixtures: NDArray) -> NDArray:
    """Kullback-Leibler divergence of each mixture from equal weights."""
    from scipy.special import xlogy

    return xlogy(mixtures, mixtures * mixtures.shape[1]).sum(1)


def _vouchers(places: NDArray) -> NDArray[np.bool_]:
    """Mask (N, N) of the positives that may score each other."""
    away = np.linalg.norm(places[:, None] - places, axis=-1)
    far = away >= GAP_MM
    lonely = ~far.any(1)
    far[lonely] = ~np.eye(len(places), dtype=bool)[lonely]
    return far


def _surprise(cosines: list[NDArray], mixtures: NDArray, vouch: NDArray[np.bool_]) -> NDArray:
    """Mean log rank of the positives among the body and among the negatives, one per mixture; lower is better."""
    own, against, body = cosines
    out = np.zeros(len(mixtures))
    for number, mixture in enumerate(mixtures):
        mixed = np.tensordot(mixture, own, 1)
        alone = len(mixed) < 2
        found = np.array([1.0]) if alone else np.where(vouch, mixed, -np.inf).max(1)
        for others in (body, against):
            if others.shape[1]:
                scores = np.sort(np.tensordot(mixture, others, 1).max(1))
                above = len(scores) - np.searchsorted(scores, found, "left")
                # A negative is a score and not only a rank: how far below the positives does it stay?
                rank = (above + 1) / (len(scores) + 1) if others is body else np.exp(scores.mean() - found)
                out[number] += np.log(rank).mean()
    return out
