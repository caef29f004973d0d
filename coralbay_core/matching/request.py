"""Similarity requests: from clicks and saved queries to a heat map and its regions, within a scan or between two.

A request has one of three scopes: what looks alike *everywhere* in a scan, the structure that was clicked (*here*), or
the same *place*, in this scan or in another one. Commands, sessions and library search all call `answer`. The module
stands above `similarity` because a distance prior between two scans needs their alignment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import Cancelled, CoralBayError, InputError
from ..features import FeatureMaps
from ..similarity import (
    DistancePrior,
    HeatMap,
    HereWeights,
    Query,
    Reduction,
    Region,
    Weights,
    auto_weights,
    here_map,
    make_query,
    merge_queries,
    search,
    top_regions,
)
from ..similarity.scopes import SCOPES, Scope
from ..spatial import Volume
from ..util.cancellation import IsCancelled, check_cancelled
from .certainty import place_in_words
from .known_alignments import alignment_of, known_alignment

PLACE_MM = 30.0
"""Width of the distance prior of the scope ``place``, where none is given."""

NOT_ALIGNED = "the scans are not aligned yet; the whole scan was searched"
"""Note of a provisional answer."""

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
    scope : str
        ``everywhere``: what looks like the places in the whole scan. ``here``: the structure that the places lie in.
        ``place``: what looks like the places near them, or near where they align in `target`; in the whole scan, with a
        note, if the scans cannot be aligned and no `prior_mm` was given.
    guide : Volume, optional
        The CT of `target`; the scope ``here`` needs it.
    here : HereWeights
        Weights of the parts of the scope ``here``.
    align : bool
        Whether two scans that were not aligned before are aligned, which takes seconds. Otherwise the whole `target` is
        searched, and the answer is provisional.
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
    scope: Scope = "everywhere"
    guide: Volume | None = None
    here: HereWeights = field(default_factory=HereWeights)
    align: bool = True

    def __post_init__(self) -> None:
        for side in ("positive_mm", "negative_mm"):
            object.__setattr__(self, side, np.asarray(getattr(self, side), float).reshape(-1, 3))
        if not (len(self.positive) or self.queries):
            raise InputError("nothing to look for", expected="a positive place or a query")
        if self.scope not in SCOPES:
            raise InputError("unknown scope", found=self.scope, expected=f"one of {', '.join(SCOPES)}")
        if self.scope == "here":
            self._require_here()

    def _require_here(self) -> None:
        """Raise unless the clicked structure can be told from the request."""
        if not len(self.positive):
            raise InputError("no place of a structure", expected="a click; a saved query has none")
        if self.origin is not self.target:
            raise InputError(
                "the clicked structure lies in another scan", hint="ask for the same place, or everywhere, in this scan"
            )
        if self.guide is None:
            raise InputError("CT is missing", expected="`guide`, the CT of the features")

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
    note : str
        Between two scans: how sure their alignment is, or why there is none; one line for users.
    provisional : bool
        Whether an alignment of the two scans, which was not computed yet, can change it.
    is_aligned : bool
        Whether the target was searched near where the places align.
    """

    heat: HeatMap
    query: Query
    regions: tuple[Region, ...] = ()
    note: str = ""
    provisional: bool = False
    is_aligned: bool = False

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
        Where `prior_mm` is given and the two scans cannot be aligned.
    Cancelled
        When `cancelled` returns true.
    """
    query = _query(request)
    check_cancelled(cancelled, "heat map")
    weights = request.weights
    if weights == "auto":
        weights = auto_weights(request.origin, request.positive, request.negative) if len(request.positive) else None
        check_cancelled(cancelled, "heat map")
    if request.scope == "here":
        heat = _clicked_structure(request, query, weights, cancelled)
        check_cancelled(cancelled, "heat map")
        return Answer(heat, query, (_structure(heat, request.positive[0]),) if request.top else ())
    provisional = _awaits_alignment(request)
    prior, note = (None, NOT_ALIGNED) if provisional else _prior(request, cancelled)
    check_cancelled(cancelled, "heat map")
    heat = search(request.target, query, weights=weights, prior=prior, cancelled=cancelled)
    check_cancelled(cancelled, "heat map")
    regions = tuple(top_regions(heat, request.top)) if request.top else ()
    is_aligned = prior is not None and request.origin is not request.target
    return Answer(heat, query, regions, note, provisional, is_aligned)


def _clicked_structure(
    request: SimilarityRequest, query: Query, weights: Mapping[int, float] | None, cancelled: IsCancelled | None
) -> HeatMap:
    """Heat map of the structure that was clicked; similarity is computed only if it has a weight."""
    assert request.guide is not None, "checked by the request"
    look = search(request.target, query, weights=weights, cancelled=cancelled) if request.here.look else None
    return here_map(
        request.target,
        request.positive,
        request.negative,
        guide=request.guide,
        weights=request.here,
        look=look,
        cancelled=cancelled,
    )


def _structure(heat: HeatMap, place: NDArray[np.float64]) -> Region:
    """The clicked structure up to its border, as a region at its first click."""
    assert heat.threshold is not None, "known of a clicked structure"
    size_ml = float((heat.data[heat.inside] >= heat.threshold).sum() * heat.grid.voxel_ml)
    return Region(tuple(place.tolist()), float(heat.at(place)[0]), size_ml)


def _query(request: SimilarityRequest) -> Query:
    parts = list(request.queries)
    if len(request.positive):
        clicked = make_query(request.origin, request.positive, request.negative, reduction=request.reduction)
        parts.insert(0, clicked)
    return parts[0] if len(parts) == 1 else merge_queries(parts)


def _prior_width(request: SimilarityRequest) -> float | None:
    """Width of the prior that a request asks for; None for none."""
    if not len(request.positive):
        return None
    return PLACE_MM if request.prior_mm is None and request.scope == "place" else request.prior_mm


def _awaits_alignment(request: SimilarityRequest) -> bool:
    """Whether a prior needs an alignment that was not computed, and that the request does not wait for."""
    if request.align or request.origin is request.target or _prior_width(request) is None:
        return False
    return known_alignment(request.origin, request.target) is None


def _prior(request: SimilarityRequest, cancelled: IsCancelled | None) -> tuple[DistancePrior | None, str]:
    """Prior around the places, or around where they align; and what there is to say about the alignment."""
    places, width = request.positive, _prior_width(request)
    if width is None:
        return None, ""
    prior = DistancePrior(places[:: max(1, -(-len(places) // PRIOR_PLACES))], float(width))
    if request.origin is request.target:
        return prior, ""
    try:
        alignment = alignment_of(request.origin, request.target, cancelled=cancelled)
    except Cancelled:
        raise
    except CoralBayError as error:
        if request.prior_mm is not None:
            raise
        return None, f"{error}; the whole scan was searched"
    sure = float(np.median(alignment.confidence_at(prior.centers_mm)))
    note = f"{alignment.in_words}; the aligned place is {place_in_words(sure)} (confidence {sure:.2f})"
    return replace(prior, centers_mm=alignment(prior.centers_mm)), note
