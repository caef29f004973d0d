"""Results computed from features, each with the grid that it is drawn on."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume

from .clicks import Clicks

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import Answer, FollowUp, Match
    from coralbay_core.probe import LabelStatistics, Probe, Suggestion
    from coralbay_core.projection import Basis, Embedding, RgbMap, Scatter
    from coralbay_core.similarity import HeatMap, Region
    from coralbay_core.similarity.hu_windows import WindowComparison
    from coralbay_core.similarity.symmetry import Midplane, SideBySide


STRICTEST_FRACTION = 1e-5
"""Smallest fraction of the body that a threshold can select: less than a milliliter of an adult."""


class ScoreScale:
    """Scores of a heat map inside the body, by rank, because ranks are comparable between models and scores are not.

    Parameters
    ----------
    scores : (n,) array
        Scores of all body cells.
    """

    def __init__(self, scores: NDArray) -> None:
        self._fractions = np.geomspace(STRICTEST_FRACTION, 1, 401)
        self._scores = np.quantile(scores, 1 - self._fractions) if len(scores) else np.zeros(401)
        self.low, self.high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)

    def score_of(self, fraction: float) -> float:
        """Return the score that the best `fraction` of the body reaches."""
        return float(np.interp(np.log(fraction), np.log(self._fractions), self._scores))

    def fraction_of(self, score: float) -> float:
        """Return the fraction of the body that scores so much or more: the inverse of `score_of`."""
        fraction = np.exp(np.interp(-score, -self._scores, np.log(self._fractions)))
        return float(np.clip(fraction, STRICTEST_FRACTION, 1))


@dataclass(frozen=True, eq=False)
class HeatResult:
    """Heat map with display data.

    Parameters
    ----------
    heat : HeatMap
        On the finest feature grid.
    shown : (z, y, x) float32 array
        The same on `grid`, for display.
    grid : Grid
    scale : ScoreScale
    regions : tuple of Region
        Best first.
    clicks : Clicks
        Clicks of the heat map.
    partial : bool
        Whether it comes from the first features alone; elsewhere `shown` has its minimum.
    note : str
        Between two scans: how sure their alignment is, or why there is none.
    provisional : bool
        Whether the two scans are not aligned yet, and the heat map will be computed again after that.
    """

    heat: "HeatMap"
    shown: NDArray[np.float32]
    grid: Grid
    scale: ScoreScale
    regions: "tuple[Region, ...]"
    clicks: Clicks
    partial: bool = False
    note: str = ""
    provisional: bool = False

    @classmethod
    def of(cls, answer: "Answer", grid: Grid, clicks: Clicks, partial: bool) -> "HeatResult":
        """Resample an answer to a display grid and rank its scores."""
        heat = answer.heat
        scale = ScoreScale(heat.data[heat.inside])
        shown = heat.resample_to(grid)
        return cls(heat, shown, grid, scale, answer.regions, clicks, partial, answer.note, answer.provisional)


Method = Literal["pca", "umap"]


@dataclass(frozen=True, eq=False)
class PcaResult:
    """Features as colors on a display grid.

    Parameters
    ----------
    rgb : RgbMap
    shown : (z, y, x, 3) uint8 array
        On `grid`, black outside the body.
    grid : Grid
    basis : Basis, optional
        That the colors, or the coordinates behind them, come from.
    method : str
        ``pca`` or ``umap``.
    embedding : Embedding, optional
        That colors of a UMAP come from.
    """

    rgb: "RgbMap"
    shown: NDArray[np.uint8]
    grid: Grid
    basis: "Basis | None" = None
    method: Method = "pca"
    embedding: "Embedding | None" = None


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """Scores of a probe on a display grid.

    Parameters
    ----------
    value : int, optional
        Label that `probability` is of; None for that of the label which each voxel got.
    probability : (z, y, x) float32 array
        In [0, 1]; 0 outside the body.
    margin : (z, y, x) float32 array
        By how much the likeliest label exceeds the next one, in [0, 1]; 0 outside the body.
    grid : Grid
    probe : Probe
        Whose scores they are.
    """

    value: int | None
    probability: NDArray[np.float32]
    margin: NDArray[np.float32]
    grid: Grid
    probe: "Probe"

    @cached_property
    def uncertainty(self) -> NDArray[np.float32]:
        """One minus the margin, (z, y, x) float32; 0 outside the body."""
        inside = (self.margin > 0) | (self.probability > 0)
        return np.where(inside, 1 - self.margin, 0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class WindowResult:
    """Results under several windows, with display data.

    Parameters
    ----------
    comparison : WindowComparison
        `reference` and `answers`, each with `correlation`, `position_mm` and `score`; `chance`.
    shown : dict of str to (z, y, x) float32 array
        Of each window by name: ranks of the scores in [0, 1] on `grid`; 0 outside the body and the box.
    stability : (z, y, x) float32 array
        On `grid`: 1 where all windows agree, see `WindowComparison.stability`; 0 outside the body and the box.
    grid : Grid
    clicks : Clicks
        Clicks of the comparison.
    """

    comparison: "WindowComparison"
    shown: dict[str, NDArray[np.float32]]
    stability: NDArray[np.float32]
    grid: Grid
    clicks: Clicks


@dataclass(frozen=True, eq=False)
class WarpedResult:
    """Another scan, brought to this one by an alignment.

    Parameters
    ----------
    own, other : (z, y, x) arrays
        HU of this scan and of the other one, on `grid`.
    grid : Grid
    name : str
        Of the other scan.
    """

    own: NDArray
    other: NDArray
    grid: Grid
    name: str


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that was computed from the features of one scan. A change of model replaces it as a whole.

    Parameters
    ----------
    features : FeatureMaps, optional
    model : str, optional
        Name of the model that computed them.
    heat : HeatResult, optional
        Heat map of the clicks.
    hover : HeatResult, optional
        Heat map of the position under the mouse pointer, coarse.
    pca : PcaResult, optional
        PCA or UMAP colors.
    embedding : Embedding, optional
        The last UMAP that `pca` showed, so that it is at hand again after PCA colors.
    probe : Probe, optional
    segmentation : LabelVolume, optional
        Of `probe`, on the scan's label grid.
    suggestions : tuple of Suggestion
        Positions to paint next.
    statistics : tuple of LabelStatistics
    scores : ScoreResult, optional
        Probability map of `probe`.
    selection : (z, y, x) bool array, optional
        Cells of the finest stage that projections use; None for the whole body.
    clusters : LabelVolume, optional
        On the scan's label grid.
    scatter : Scatter, optional
    midplane : Midplane, optional
    symmetry : SideBySide, optional
        Comparison of a position with the other side of the body.
    symmetry_shown : (z, y, x) float32 array, optional
        Its heat map on the overlay grid.
    follow_up : FollowUp, optional
    follow_up_rows : tuple of dict
        Table of `follow_up`.
    matched : Match, optional
        Position here that corresponds to the cursor of another scan.
    windows : WindowResult, optional
    warped : WarpedResult, optional
        Second scan over this one.
    """

    features: "FeatureMaps | None" = None
    model: str | None = None
    heat: HeatResult | None = None
    hover: HeatResult | None = None
    pca: PcaResult | None = None
    embedding: "Embedding | None" = None
    probe: "Probe | None" = None
    segmentation: LabelVolume | None = None
    suggestions: "tuple[Suggestion, ...]" = ()
    statistics: "tuple[LabelStatistics, ...]" = ()
    scores: ScoreResult | None = None
    selection: NDArray[np.bool_] | None = None
    clusters: LabelVolume | None = None
    scatter: "Scatter | None" = None
    midplane: "Midplane | None" = None
    symmetry: "SideBySide | None" = None
    symmetry_shown: NDArray[np.float32] | None = None
    follow_up: "FollowUp | None" = None
    follow_up_rows: tuple[dict[str, Any], ...] = ()
    matched: "Match | None" = None
    windows: "WindowResult | None" = None
    warped: WarpedResult | None = None
