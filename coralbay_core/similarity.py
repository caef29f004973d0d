"""Where else does it look like this? Heat maps of clicks, in the scan that was clicked or in another one.

One cosine a stage at its own resolution; the scalars are interpolated and mixed. Mixing scores instead of features
makes the weights of the scales free to change.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .descriptors import describe_points, stage_descriptors
from .errors import InputError
from .features import FeatureMaps
from .preprocess import resample, resample_blocks
from .volume import Grid


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Similarity to the clicks; higher is more similar.

    Parameters
    ----------
    data : (z, y, x) float32 array
        On `grid`, the finest stage's.
    grid : Grid
    features : FeatureMaps
        Of the scan that the map lies in.
    """

    data: NDArray[np.float32]
    grid: Grid
    features: FeatureMaps

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Cells that belong to the body."""
        return self.features.body_at(self.features.strides[0])

    @property
    def minimum(self) -> float:
        """Lowest score in the body, which is also the value outside it."""
        return float(self.data[self.inside].min())

    def on(self, grid: Grid) -> NDArray[np.float32]:
        """Scores on another grid, finite everywhere; outside the body the minimum."""
        floor = self.minimum
        out = np.empty(grid.shape, np.float32)
        body = self.features.body
        slabs = resample_blocks(body, self.features.grid, grid, order=0, fill=0)
        scores = resample_blocks(self.data, self.grid, grid)
        for (part, inside), (_, block) in zip(slabs, scores, strict=True):
            out[part] = np.where(inside, np.maximum(block, floor), floor)
        return out

    def at(self, position_mm: ArrayLike) -> NDArray[np.float32]:
        """Scores at world positions (N, 3), shape (N,)."""
        from .features import sample_trilinear

        return sample_trilinear(self.data[None], self.grid.to_index(np.atleast_2d(np.asarray(position_mm, float))))[
            :, 0
        ]


@dataclass(frozen=True)
class Region:
    """A peak of a heat map.

    Parameters
    ----------
    position_mm : tuple of float
        Of the peak, RAS+.
    score : float
    size_ml : float
        Of the cells around it that belong to it: see `top_regions`.
    """

    position_mm: tuple[float, float, float]
    score: float
    size_ml: float


def heat_map(
    features: FeatureMaps,
    positive: ArrayLike,
    negative: ArrayLike = (),
    *,
    weights: Mapping[int, float] | None = None,
    query_features: FeatureMaps | None = None,
) -> HeatMap:
    """Similarity of every cell to the positive points, less its similarity to the negative ones.

    Several points count by the maximum of their cosines, which serves better than the mean: an organ has more than one
    look.

    Parameters
    ----------
    features : FeatureMaps
        Of the scan to search.
    positive, negative : (N, 3) arrays
        World mm.
    weights : mapping of int to float, optional
        Weight of each stride; equal by default.
    query_features : FeatureMaps, optional
        Of the scan in which the points lie, if that is another one.
    """
    query = query_features or features
    features.require_same_encoder(query)
    positive, negative = (np.asarray(points, float).reshape(-1, 3) for points in (positive, negative))
    if not len(positive):
        raise InputError("no positive point", expected="at least one")
    query.grid.require_inside(np.concatenate([positive, negative]), where="query point")
    shares = _shares(features, query, weights)
    scores = [_mixed_cosine(features, query, point, shares) for point in positive]
    data = np.max(scores, axis=0)
    if len(negative):
        against = np.max([_mixed_cosine(features, query, point, shares) for point in negative], axis=0)
        data = data - np.maximum(against, 0)
    return HeatMap(data.astype(np.float32), features.finest.grid, features)


def _shares(features: FeatureMaps, query: FeatureMaps, weights: Mapping[int, float] | None) -> dict[int, float]:
    common = sorted(set(features.strides) & set(query.strides))
    chosen = dict.fromkeys(common, 1.0) if weights is None else {s: float(w) for s, w in weights.items() if w}
    total = sum(chosen.values())
    if not set(chosen) <= set(common) or not total > 0 or min(chosen.values()) < 0:
        raise InputError(
            "unusable scale weights",
            found=dict(weights or {}),
            expected=f"weights >= 0 of strides among {common}, not all 0",
        )
    return {stride: weight / total for stride, weight in chosen.items()}


def _mixed_cosine(
    features: FeatureMaps, query: FeatureMaps, point: NDArray, shares: dict[int, float]
) -> NDArray[np.float32]:
    target = features.finest.grid
    total = np.zeros(target.shape, np.float32)
    for stride, share in shares.items():
        vector = describe_points(query, point, stride)[0]
        cosine = np.tensordot(vector, stage_descriptors(features, stride).unit, 1)
        total += share * resample(cosine, features.stages[stride].grid, target)
    return total


def top_regions(
    heat: HeatMap, k: int = 10, *, distance_mm: float = 15.0, level: float = 0.7, least: float = 0.5
) -> list[Region]:
    """The best `k` distinct regions, best first; fewer where nothing else comes near the best.

    A peak is skipped if it lies within `distance_mm` of a better one or inside its region. Cells belong to the best
    peak that they are connected to.

    Parameters
    ----------
    heat : HeatMap
    k : int
    distance_mm : float
    level : float
        How far up from the body's median to its own peak a cell must score to belong to the peak's region.
    least : float
        How far up from the body's median to the best peak another peak must score to be listed.
    """
    from scipy import ndimage

    scores = np.where(heat.inside, heat.data, -np.inf)
    median = float(np.median(heat.data[heat.inside]))
    lowest = median + least * (float(scores.max()) - median)
    peaks = np.flatnonzero((scores == ndimage.maximum_filter(scores, 3)) & (scores >= lowest))
    free = np.ones(scores.shape, bool)
    found: list[Region] = []
    for peak in peaks[np.argsort(-scores.flat[peaks], kind="stable")]:
        index = np.unravel_index(peak, scores.shape)
        position = heat.grid.to_world(index)
        score = float(scores[index])
        if not free[index] or any(np.linalg.norm(position - region.position_mm) < distance_mm for region in found):
            continue
        labels, _ = ndimage.label(free & (scores >= min(score, median + level * (score - median))))
        own = labels == labels[index]
        free &= ~own
        found.append(Region(tuple(position.tolist()), score, float(own.sum() * heat.grid.voxel_ml)))
        if len(found) == k:
            break
    return found
