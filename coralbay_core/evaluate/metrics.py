"""Metrics, and their confidence intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..spatial.segmentation_metrics import overlap_and_distance

__all__ = [
    "average_precision",
    "bootstrap_interval",
    "difference_interval",
    "nearest_votes",
    "overlap_and_distance",
    "precision_at_size",
    "rank_correlation",
]

RESAMPLES = 1000


def average_precision(scores: NDArray, positive: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as scikit-learn defines it, ties included; without sorting all values.

    Parameters
    ----------
    scores : (N,) array
        Higher is better.
    positive : (N,) bool array

    Returns
    -------
    float
        Chance gives the share of positives; NaN without a positive.
    """
    found = np.sort(scores[positive])
    if not len(found):
        return float("nan")
    others = np.sort(scores[~positive])
    # At each positive's score, how many positives and others score as high or higher.
    hits = len(found) - np.searchsorted(found, found, "left")
    false = len(others) - np.searchsorted(others, found, "left")
    return float(np.mean(hits / (hits + false)))


def precision_at_size(scores: NDArray, positive: NDArray[np.bool_]) -> float:
    """Share of positives among the best N scores, N the number of positives; a tie at the cut counts in part."""
    size = int(positive.sum())
    if not size:
        return float("nan")
    cut = np.partition(scores, len(scores) - size)[len(scores) - size]
    above, tied = scores > cut, scores == cut
    free = size - int(above.sum())
    return float((positive[above].sum() + free * positive[tied].mean()) / size)


def rank_correlation(first: NDArray, second: NDArray) -> float:
    """Spearman's correlation; NaN if one of the inputs is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (first, second)]
    if min(np.ptp(r) for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def nearest_votes(similarity: NDArray, labels: NDArray[np.integer], k: int = 5) -> NDArray[np.integer]:
    """Label of each row by vote of its k most similar columns; the similarity decides between equal votes.

    Parameters
    ----------
    similarity : (queries, tokens) array
        -inf where a token may not vote.
    labels : (tokens,) array of int >= 0
    k : int
    """
    k = min(k, similarity.shape[1])
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    weight = np.take_along_axis(similarity, nearest, 1)
    # A vote counts one; similarities, made small, only break ties.
    counted = np.where(np.isfinite(weight), 1 + 1e-3 * np.nan_to_num(weight, neginf=0), 0)
    votes = np.zeros((len(similarity), int(labels.max()) + 1))
    np.add.at(votes, (np.arange(len(similarity))[:, None], labels[nearest]), counted)
    return votes.argmax(1)


Statistic = Callable[[NDArray], float]


def bootstrap_interval(groups: Sequence[NDArray], statistic: Statistic, *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a statistic of pooled values, when whole groups are drawn with replacement.

    Values of one structure or case resemble each other, so they are drawn together.

    Parameters
    ----------
    groups : sequence of arrays
    statistic : callable
        Statistic of the pooled values, e.g. `numpy.mean`.
    """
    if len(groups) < 2:
        return float("nan"), float("nan")
    return _percentiles(_resampled(groups, statistic, _draws(len(groups), seed)))


def difference_interval(
    groups: Sequence[NDArray], others: Sequence[NDArray], statistic: Statistic, *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of how much a statistic of `groups` exceeds that of `others`, when both are drawn in pairs.

    Two methods are good and bad at the same structures, so their difference is surer than either number.
    """
    if len(groups) < 2:
        return float("nan"), float("nan")
    draws = _draws(len(groups), seed)
    return _percentiles(_resampled(groups, statistic, draws) - _resampled(others, statistic, draws))


def _draws(count: int, seed: int) -> NDArray[np.integer]:
    return np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))


def _resampled(groups: Sequence[NDArray], statistic: Statistic, draws: NDArray[np.integer]) -> NDArray[np.float64]:
    if statistic is np.mean:
        # The mean of drawn groups needs only their sums and sizes.
        sums, sizes = np.array([group.sum() for group in groups]), np.array([len(group) for group in groups])
        return np.asarray(sums[draws].sum(1) / sizes[draws].sum(1))
    return np.array([statistic(np.concatenate([groups[i] for i in draw])) for draw in draws])


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
