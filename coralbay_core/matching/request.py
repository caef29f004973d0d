"""Similarity requests: from clicks and saved queries to a heat map and its regions, within a scan or between two.

Commands, sessions and library search all call `answer`. The module stands above `similarity` because a
distance prior between two scans needs their alignment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..similarity import (
    DistancePrior,
    HeatMap,
    Query,
    Reduction,
    Region,
    Weights,
    auto_weights,
    make_query,
    merge_queries,
    search,
    top_regions,
)
from ..util.cancellation import IsCancelled, check_cancelled
from .alignment import align

PRIOR_PLACES = 50
"""Most places that a distance prior is centered on: a stroke has thousands, and neighbors change nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SimilarityRequest:
    """Places and saved queries that a scan is searched for.

    Parameters
    ----------
    target : FeatureMaps
        Of the scan that is searched.
    source : FeatureMaps, optional
        Of the scan in which the places lie; by default `target`.
    positive_mm, negative_mm : (N, 3) arrays
        World mm of `source`: clicks, or the points of strokes and regions.
    queries : tuple of Query
        Saved queries, merged with the places.
    reduction : str
        As of `similarity.make_query`.
    weights : mapping of int to float, "auto", optional
        Weight of each stride; by default those that all queries bring, else equal ones. "auto" chooses them from the
        places; without positive places it means the default.
    prior_mm : float, optional
        Width of a distance prior around the positive places, or around where they align in `target`. Ignored without
        positive places.
    top : int
        Most regions to list.
    """

    target: FeatureMaps
    source: FeatureMaps | None = None
    positive_mm: ArrayLike = ()
    negative_mm: ArrayLike = ()
    queries: tuple[Query, ...] = ()
    reduction: Reduction = "max"
    weights: Weights = None
    prior_mm: float | None = None
    top: int = 10

    def __post_init__(self) -> None:
        for side in ("positive_mm", "negative_mm"):
            object.__setattr__(self, side, np.asarray(getattr(self, side), float).reshape(-1, 3))
        if not (len(self.positive) or self.queries):
            raise InputError("nothing to look for", expected="a positive place or a query")

    @property
    def positive(self) -> NDArray[np.float64]:
        """Positive places, (N, 3), world mm of the source."""
        return np.asarray(self.positive_mm)

    @property
    def negative(self) -> NDArray[np.float64]:
        """Negative places, (N, 3), world mm of the source."""
        return np.asarray(self.negative_mm)

    @property
    def origin(self) -> FeatureMaps:
        """Features of the scan in which the places lie."""
        return self.target if self.source is None else self.source


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a `SimilarityRequest`.

    Parameters
    ----------
    heat : HeatMap
        On the finest grid of the target.
    query : Query
        Places and saved queries in one.
    regions : tuple of Region
        Best first.
    """

    heat: HeatMap
    query: Query
    regions: tuple[Region, ...] = ()

    @property
    def weights(self) -> Mapping[int, float]:
        """Share of each stride in the scores; they sum to 1."""
        return self.heat.weights


def answer(request: SimilarityRequest, cancelled: IsCancelled | None = None) -> Answer:
    """Answer a request.

    Parameters
    ----------
    request : SimilarityRequest
    cancelled : callable, optional
        Called between stages of the work.

    Raises
    ------
    InputError
        For unusable weights or priors, for features or queries of different models.
    OutsideVolumeError
        For a place outside the scan that it lies in.
    CoralBayError
        Where a prior is wanted and the two scans cannot be aligned.
    Cancelled
        When `cancelled` returns true.
    """
    query = _query(request)
    check_cancelled(cancelled, "heat map")
    weights = request.weights
    if weights == "auto":
        weights = auto_weights(request.origin, request.positive, request.negative) if len(request.positive) else None
        check_cancelled(cancelled, "heat map")
    prior = _prior(request)
    check_cancelled(cancelled, "heat map")
    heat = search(request.target, query, weights=weights, prior=prior, cancelled=cancelled)
    check_cancelled(cancelled, "heat map")
    return Answer(heat, query, tuple(top_regions(heat, request.top)) if request.top else ())


def _query(request: SimilarityRequest) -> Query:
    parts = list(request.queries)
    if len(request.positive):
        clicked = make_query(request.origin, request.positive, request.negative, reduction=request.reduction)
        parts.insert(0, clicked)
    return parts[0] if len(parts) == 1 else merge_queries(parts)


def _prior(request: SimilarityRequest) -> DistancePrior | None:
    places = request.positive
    if request.prior_mm is None or not len(places):
        return None
    prior = DistancePrior(places[:: max(1, -(-len(places) // PRIOR_PLACES))], float(request.prior_mm))
    if request.origin is request.target:
        return prior
    alignment = align(request.origin, request.target)
    return replace(prior, centers_mm=alignment(prior.centers_mm))
