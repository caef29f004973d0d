"""Best match of a click in another scan, confirmed by searching back from the match.

A match is searched back in the first scan. The distance between the position found there and the click needs no ground
truth, and is small if the match is unambiguous (Kalal, Mikolajczyk, Matas: Forward-Backward Error, ICPR 2010).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..features import FeatureMaps
from ..features.feature_maps import sample_trilinear
from ..similarity import DistancePrior, HeatMap, heat_map, top_regions
from ..spatial import Grid, geometry
from ..spatial.resampling import resample
from .certainty import place_in_words

if TYPE_CHECKING:
    from .deformation import Deformation

RETURN_MM = 24.0
"""A match counts as confirmed if, looked for in the first scan again, it is found within this distance of the click."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """Cells in which a match may lie.

    Parameters
    ----------
    grid : Grid
    body : (z, y, x) bool array
        On `grid`.
    """

    grid: Grid
    body: NDArray[np.bool_]

    @classmethod
    def of(cls, features: FeatureMaps) -> "SearchSpace":
        """Make the search space of a scan: its body, in cells of the finest stage."""
        return cls(features.finest.grid, features.body_at(features.strides[0]))

    def scores(self, heat: HeatMap) -> NDArray[np.float32]:
        """Resample a heat map to the cells of this space, also outside the body."""
        return heat.data if self.grid is heat.grid else resample(heat.data, heat.grid, self.grid)

    def best(self, scores: NDArray[np.float32]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """Index and world mm of the highest score in the body."""
        index = np.unravel_index(int(np.where(self.body, scores, -np.inf).argmax()), scores.shape)
        place = tuple(int(i) for i in index)
        return place, self.grid.to_world(place)


@dataclass(frozen=True, eq=False)
class Match:
    """A click and its counterpart.

    Parameters
    ----------
    source_mm, position_mm : (3,) arrays
        In the scan that was clicked and in the one that was searched.
    score : float
    return_mm : float
        From the click to where the way back ends: the forward-backward error.
    scores : (z, y, x) float32 array
        Heat map of the searched scan, on the search space's grid.
    index : tuple of int
        Index of the match in `scores`.
    is_aligned : bool
        Whether an alignment gave the place, and `score` is its confidence; elsewhere it is a similarity.
    """

    source_mm: NDArray[np.float64]
    position_mm: NDArray[np.float64]
    score: float
    return_mm: float
    scores: NDArray[np.float32]
    index: tuple[int, ...]
    is_aligned: bool = False

    @property
    def in_words(self) -> str:
        """How sure the place is, in a few words."""
        if self.is_aligned:
            return f"{place_in_words(self.score)} (confidence {self.score:.2f})"
        back = f"round-trip error {self.return_mm:.0f} mm"
        return f"score {self.score:.2f}, {back}: {'confirmed' if self.confirmed else 'not confirmed'}"

    @property
    def confirmed(self) -> bool:
        """Whether the search back ends near the click."""
        return self.return_mm <= RETURN_MM

    def turned(self, source_mm: ArrayLike) -> "Match":
        """The same match with its ends exchanged: from the place that was found, moved to `source_mm`, to the click."""
        return replace(self, source_mm=np.asarray(source_mm, float).reshape(3), position_mm=self.source_mm)


def best_match(
    source: FeatureMaps,
    target: FeatureMaps,
    position_mm: ArrayLike,
    *,
    weights: Mapping[int, float] | None = None,
    prior: DistancePrior | None = None,
    space: SearchSpace | None = None,
    back: SearchSpace | None = None,
) -> Match:
    """Find the position in `target` that is most similar to a position in `source`.

    Parameters
    ----------
    source, target : FeatureMaps
        Features of both scans, of the same encoder.
    position_mm : (3,) array
        World mm of the scan of `source`.
    weights : mapping of int to float, optional
        Weights of the strides, for both directions.
    prior : DistancePrior, optional
        Distance prior in the scan of `target`. It is not used for the search back, which validates the match.
    space, back : SearchSpace, optional
        Search spaces in the scan of `target` and for the search back; by default the whole body.
    """
    click = np.asarray(position_mm, float).reshape(3)
    space = space or SearchSpace.of(target)
    heat = heat_map(target, click, weights=weights, query_features=source, prior=prior)
    scores = space.scores(heat)
    index, position = space.best(scores)
    return_mm = _way_back(source, target, click, position, weights, back)
    return Match(click, position, float(scores[index]), return_mm, scores, index)


def best_matches(
    source: FeatureMaps,
    target: FeatureMaps,
    position_mm: ArrayLike,
    k: int = 5,
    *,
    weights: Mapping[int, float] | None = None,
    prior: DistancePrior | None = None,
) -> list[Match]:
    """Find the best distinct regions of `target`, best first, each searched back; fewer if few are similar."""
    click = np.asarray(position_mm, float).reshape(3)
    heat = heat_map(target, click, weights=weights, query_features=source, prior=prior)
    matches = []
    for region in top_regions(heat, k):
        position = np.array(region.position_mm)
        index = tuple(int(i) for i in heat.grid.nearest_index(position))
        return_mm = _way_back(source, target, click, position, weights, None)
        matches.append(Match(click, position, region.score, return_mm, heat.data, index))
    return matches


def _way_back(
    source: FeatureMaps,
    target: FeatureMaps,
    click: NDArray[np.float64],
    position: NDArray[np.float64],
    weights: Mapping[int, float] | None,
    back: SearchSpace | None,
) -> float:
    back = back or SearchSpace.of(source)
    _, returned = back.best(back.scores(heat_map(source, position, weights=weights, query_features=target)))
    return float(np.linalg.norm(returned - click))


def aligned_match(alignment: "Deformation", position_mm: ArrayLike) -> Match:
    """Place to which an alignment takes a click, without a search: milliseconds.

    Its score is the confidence of the alignment, its `scores` those of the alignment's cells in the target, and its
    forward-backward error that of the searches that the alignment comes from.
    """
    click = np.asarray(position_mm, float).reshape(3)
    position, grid = alignment(click), alignment.forward.grid
    away = sample_trilinear(alignment.return_mm[0][None], grid.to_index(click[None]))
    index = tuple(int(i) for i in grid.nearest_index(geometry.apply(alignment.backward.before, position)))
    score = float(alignment.confidence_at(click))
    return Match(click, position, score, float(away[0, 0]), alignment.confidence[1], index, is_aligned=True)
