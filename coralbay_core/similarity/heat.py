"""Heat maps: similarity of each cell of a scan to a query."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.feature_maps import sample_trilinear
from ..features.linear_maps import linear_slabs
from ..spatial import Grid
from ..spatial.resampling import resample_blocks
from ..util.arguments import checked
from ..util.cancellation import IsCancelled
from .prior import DistancePrior
from .query import Query, make_query
from .stage_weights import Weights, resolve_weights

TEMPERATURE = 0.05
"""Temperature of the softmax between positives and negatives, in units of cosine."""


class VoxelTerm(Protocol):
    """Scores at voxels that know more than those of the cells, such as the HU of each voxel."""

    def blocks(self, target: Grid) -> Iterator[NDArray[np.float32]]:
        """Scores of one slab of the target along z at a time."""
        ...

    def select(self, mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
        """Part of a mask of high scores that belongs to the answer."""
        ...


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Similarity of each cell to a query; higher is more similar.

    Parameters
    ----------
    data : (z, y, x) float32 array
        On `grid`, the finest stage's.
    grid : Grid
    features : FeatureMaps
        Of the scan that the map lies in.
    weights : dict of int to float
        Share of each stride in the scores; they sum to 1. Empty if the scores are not cosines.
    threshold : float, optional
        Score at which the searched structure ends, where this is known.
    term : VoxelTerm, optional
        Source of the scores on other grids; by default those of the cells are interpolated.
    """

    data: NDArray[np.float32]
    grid: Grid
    features: FeatureMaps
    weights: Mapping[int, float] = field(default_factory=dict)
    threshold: float | None = None
    term: VoxelTerm | None = None

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Cells that belong to the body."""
        return self.features.body_at(self.features.strides[0])

    @property
    def minimum(self) -> float:
        """Lowest score in the body, also used outside it."""
        return float(self.data[self.inside].min())

    def resample_to(self, grid: Grid) -> NDArray[np.float32]:
        """Resample the scores to another grid; outside the body they are the minimum."""
        floor = self.minimum
        out = np.full(grid.shape, floor, np.float32)
        box = grid.box_of(self.features.grid)
        if box is None:
            return out
        shown = out[box]
        for part, inside, block in self._blocks(grid.crop(box)):
            shown[part] = np.where(inside, np.maximum(block, floor), floor)
        return out

    def mask(self, grid: Grid, threshold: float) -> NDArray[np.bool_]:
        """Mask, on another grid, of the voxels of the body that score `threshold` or more.

        Of a clicked structure only what is connected to a click.
        """
        out = np.empty(grid.shape, bool)
        for part, inside, block in self._blocks(grid):
            out[part] = inside & (block >= threshold)
        return out if self.term is None else self.term.select(out, grid)

    def _blocks(self, grid: Grid) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.float32]]]:
        if self.term is None:
            yield from body_blocks(self.data, self.grid, self.features, grid)
            return
        slabs = resample_blocks(self.features.body, self.features.grid, grid, order=0, fill=0)
        for (part, inside), block in zip(slabs, self.term.blocks(grid), strict=True):
            yield part, inside > 0, block

    def score_of_share(self, share: float) -> float:
        """Score that the best `share` (0..1] of the body's cells reach."""
        if not 0 < share <= 1:
            raise InputError("share of the body out of range", found=share, expected="above 0 and up to 1")
        return float(np.quantile(self.data[self.inside], 1 - share))

    def at(self, position_mm: ArrayLike) -> NDArray[np.float32]:
        """Sample scores at world positions (N, 3), shape (N,)."""
        index = self.grid.to_index(np.atleast_2d(np.asarray(position_mm, float)))
        return sample_trilinear(self.data[None], index)[:, 0]

    def best(self) -> tuple[NDArray[np.float64], float]:
        """Find the cell of the body that scores highest: its world position (3,) and score."""
        index = np.unravel_index(int(np.where(self.inside, self.data, -np.inf).argmax()), self.data.shape)
        return self.grid.to_world(index), float(self.data[index])


def body_blocks(
    values: NDArray[np.float32], grid: Grid, features: FeatureMaps, target: Grid
) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.float32]]]:
    """Resample values and the body mask, one slab of the target along z at a time.

    Parameters
    ----------
    values : (z, y, x) float32 array
        On `grid`.
    grid : Grid
    features : FeatureMaps
        Of the scan that `values` lie in.
    target : Grid

    Yields
    ------
    part : slice
        Slices of the target.
    inside : bool array
        Voxels of the body in that part.
    block : float32 array
        Values in that part.
    """
    slabs = resample_blocks(features.body, features.grid, target, order=0, fill=0)
    for (part, inside), (_, block) in zip(slabs, resample_blocks(values, grid, target), strict=True):
        yield part, inside > 0, block


@checked
def heat_map(
    features: FeatureMaps,
    positive: ArrayLike,
    negative: ArrayLike = (),
    *,
    weights: Weights = None,
    query_features: FeatureMaps | None = None,
    prior: DistancePrior | None = None,
) -> HeatMap:
    """Compute the similarity of every cell to the positive points, reduced where it is more similar to negative ones.

    Several points count by the maximum of their cosines, which serves better than the mean: an organ has more than one
    look. For strokes, regions and saved queries see `make_query` and `search`.

    Parameters
    ----------
    features : FeatureMaps
        Of the scan to search.
    positive, negative : (N, 3) arrays
        World mm.
    weights : mapping of int to float, "auto", optional
        Weight of each stride; equal by default, chosen from the points by `auto`.
    query_features : FeatureMaps, optional
        Features of the scan in which the points lie, if that is another one.
    prior : DistancePrior, optional
        Expected positions in the scan that is searched.

    Raises
    ------
    InputError
        Without a positive point, for unusable weights, for features of another model.
    OutsideVolumeError
        For a point outside its scan.
    """
    query = query_features or features
    features.require_same_encoder(query)
    shares = resolve_weights(weights, features, query, positive, negative)
    return search(features, make_query(query, positive, negative), weights=shares, prior=prior)


@checked
def search(
    features: FeatureMaps,
    query: Query,
    *,
    weights: Mapping[int, float] | None = None,
    prior: DistancePrior | None = None,
    cancelled: IsCancelled | None = None,
) -> HeatMap:
    """Compute the similarity of every cell to a query: the best positive prototype's cosine, against the negatives.

    Parameters
    ----------
    features : FeatureMaps
        Of the scan to search.
    query : Query
        Made in this scan or in another one, with the same encoder.
    weights : mapping of int to float, optional
        Weight of each stride; by default those of the query, else equal ones.
    prior : DistancePrior, optional
    cancelled : callable, optional
        Called between stages; when it returns true, `Cancelled` is raised.
    """
    query.require_fit(features)
    shares = resolve_weights(weights if weights is not None else query.weights, features, query)
    data = _best_cosine(features, query.positive, shares, cancelled)
    if query.has_negative:
        data = contrasted(data, _best_cosine(features, query.negative, shares, cancelled))
    heat = HeatMap(data.astype(np.float32), features.finest.grid, features, shares)
    return heat if prior is None else HeatMap(prior.applied(heat), heat.grid, features, shares)


def contrasted(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply cosines to the positives by their probability in a softmax against the negatives.

    A cell clearly more like a positive keeps its score, one more like a negative loses it, and a tie loses half.
    (Subtracting the cosine to the negatives retrieves less than leaving them out: `benchmarks/similarity.py`.)
    """
    from scipy.special import expit

    share = expit((positive - negative) / TEMPERATURE)
    return np.maximum(positive, 0) * share + np.minimum(positive, 0)


def _best_cosine(
    features: FeatureMaps,
    prototypes: Mapping[int, NDArray[np.float32]],
    shares: Mapping[int, float],
    cancelled: IsCancelled | None,
) -> NDArray[np.float32]:
    """Highest mixed cosine of any prototype, on the finest grid; few maps are in memory at a time."""
    rows = {stride: (share * prototypes[stride]).T for stride, share in shares.items()}
    best = np.empty(features.finest.grid.shape, np.float32)
    for part, values in linear_slabs(features, rows, cancelled=cancelled):
        best[part] = values.amax(0).numpy()
    return best
