"""Heat maps of the same places under different HU windows: their dependence on how a scan was exported.

An export with a window (a PNG, an 8-bit volume) clips HU to `low` and `high` and spreads them over all of the gray
scale. For a network whose input is [0, 1], that is the scan with these two as the HU that become 0 and 1. So the
encoder's own window is replaced (`WindowedEncoder`), and everything else stays: grid, tiles and body are those of the
scan, not those of a scan clipped to a bone window.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..extraction.cache import FeatureStore
from ..extraction.pipeline import features_for
from ..extraction.sliding_window import ExtractionCallbacks
from ..features import FeatureMaps
from ..models.encoder import Encoder, EncoderBase
from ..spatial import Grid, Volume
from . import HeatMap, heat_map
from .heat import body_blocks

RADIUS_MM = 48.0
_SHARES = 1000  # progress units per extraction


class WindowedEncoder(EncoderBase):
    """An `Encoder` with another HU window: its input is a scan as after an export with that window.

    Its fingerprint differs, since its features cannot be compared with those of the encoder itself.

    Parameters
    ----------
    encoder : Encoder
    window_hu : tuple of float
        HU that become 0 and 1.
    """

    def __init__(self, encoder: Encoder, window_hu: tuple[float, float]):
        low, high = (float(v) for v in window_hu)
        if not -np.inf < low < high < np.inf:
            raise InputError("empty HU window", found=f"{low:g}..{high:g}", expected="low < high")
        self._encoder = encoder
        self.preprocessing = replace(encoder.preprocessing, window_hu=(low, high))
        self.name = f"{encoder.name} at {low:g}..{high:g} HU"
        self.fingerprint = f"{encoder.fingerprint}-hu{low:g}..{high:g}"
        self.stages, self.tiling = encoder.stages, encoder.tiling
        self.device, self.precision = encoder.device, encoder.precision
        self.notice, self.ignored, self.compact = encoder.notice, encoder.ignored, encoder.compact

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes; 0 where it is unknown."""
        return self._encoder.working_bytes(size)

    def to(self, device: str) -> "WindowedEncoder":
        """Make a copy on another device."""
        return WindowedEncoder(self._encoder.to(device), self.preprocessing.window_hu)

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the maps of a batch that is windowed already, as in `Encoder`."""
        return self._encoder(x, strides)


@dataclass(frozen=True, eq=False)
class WindowAnswer:
    """The answer under one window.

    Parameters
    ----------
    name : str
    window_hu : tuple of float
    heat : HeatMap
    ranks : (z, y, x) float32 array
        Of the scores among the cells of the body in the region, from 0 (lowest) to 1; ties share the mean. 0 outside.
    correlation : float
        Of these ranks with those of the answer under the encoder's own window (Spearman); nan where either is constant.
    position_mm : (3,) array
        Of the best match.
    score : float
        Of the best match.
    """

    name: str
    window_hu: tuple[float, float]
    heat: HeatMap
    ranks: NDArray[np.float32]
    correlation: float
    position_mm: NDArray[np.float64]
    score: float


@dataclass(frozen=True, eq=False)
class WindowComparison:
    """The answers under several windows, in one region of a scan.

    Parameters
    ----------
    reference : WindowAnswer
        Under the encoder's own window.
    answers : tuple of WindowAnswer
        One per window, in the order of the request.
    """

    reference: WindowAnswer
    answers: tuple[WindowAnswer, ...]

    @property
    def grid(self) -> Grid:
        """Grid of all maps: that of the finest stage, in the region."""
        return self.reference.heat.grid

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Cells of the body."""
        return self.reference.heat.inside

    @cached_property
    def stability(self) -> NDArray[np.float32]:
        """Agreement of the windows per cell, in [0, 1]: 1 less the largest difference of its ranks; 0 outside the body.

        1: all windows rank the cell the same. 0: to one it is the best of all, to another the worst. Ranks, because
        scores under different windows have no common scale; the largest difference and not the standard deviation,
        because a single window that disagrees is what one looks for, and because it means something for itself: the
        cell moved by at most this share of the body. Windows that have nothing to do with each other do not give 0 but
        `chance` on average.
        """
        ranks = np.stack([answer.ranks for answer in self.answers])
        return np.where(self.inside, 1 - (ranks.max(0) - ranks.min(0)), 0).astype(np.float32)

    @property
    def chance(self) -> float:
        """Mean stability of rankings that are independent: the range of n uniform numbers is (n - 1) / (n + 1)."""
        return 2 / (len(self.answers) + 1)

    def resample_to(self, grid: Grid, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample ranks or stability to another grid; 0 outside the body and outside the region."""
        features = self.reference.heat.features
        out = np.empty(grid.shape, np.float32)
        for part, inside, block in body_blocks(values, self.grid, features, grid):
            out[part] = np.where(inside, block, 0)
        return out


def compare_windows(
    volume: Volume,
    encoder: Encoder,
    positive: ArrayLike,
    negative: ArrayLike = (),
    *,
    windows: Mapping[str, tuple[float, float]],
    center_mm: ArrayLike | None = None,
    radius_mm: float = RADIUS_MM,
    strides: Collection[int] | None = None,
    weights: Mapping[int, float] | None = None,
    store: FeatureStore | bool | None = True,
    watch: ExtractionCallbacks | None = None,
) -> WindowComparison:
    """Answer the same places under several HU windows, in a box around them.

    The answer under the encoder's own window is computed in the same box: descriptors are standardized over the body
    in the region, which must be the same.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    positive, negative : (N, 3) arrays
        World mm; those outside the box are left out.
    windows : mapping of str to tuple of float
        HU that become 0 and 1, by name.
    center_mm : (3,) array, optional
        Of the box, world mm; by default the last positive place.
    radius_mm : float
        Half the side of the box.
    strides, store, watch : optional
        As of `features_for`; each window has its own entry in the store.
    weights : mapping of int to float, optional
        Of the strides.

    Raises
    ------
    InputError
        Without a window or a positive place in the box, for an empty window, for a box outside the volume.
    Cancelled
        When `watch.cancelled` returns true.
    """
    points, against = (np.asarray(p, float).reshape(-1, 3) for p in (positive, negative))
    if not windows or not len(points) or not 0 < radius_mm < np.inf:
        raise InputError(
            "nothing to compare",
            found=f"{len(windows)} windows, {len(points)} places, radius {radius_mm:g} mm",
            expected="a window, a place and a radius above 0",
        )
    center = points[-1] if center_mm is None else np.asarray(center_mm, float).reshape(3)
    volume.grid.require_inside(center, where=volume.name)
    roi = volume.grid.box_around(center, radius_mm)
    own = tuple(float(v) for v in encoder.preprocessing.window_hu)
    requested = {"": (own[0], own[1]), **windows}
    heats: list[HeatMap] = []
    for number, window in enumerate(requested.values()):
        windowed = WindowedEncoder(encoder, window) if number else encoder
        part = _part(watch, number, len(requested))
        features = features_for(volume, windowed, strides=strides, roi_mm=roi, store=store, watch=part)
        heats.append(_answer(features, points, against, weights))
    ranks = [rank_map(heat) for heat in heats]
    made = [
        WindowAnswer(name, window, heat, rank, _correlation(rank, ranks[0], heat.inside), *heat.best())
        for (name, window), heat, rank in zip(requested.items(), heats, ranks, strict=True)
    ]
    return WindowComparison(made[0], tuple(made[1:]))


def rank_map(heat: HeatMap) -> NDArray[np.float32]:
    """Compute ranks of the scores among the cells of the body, 0 (lowest) to 1; ties share the mean; 0 outside."""
    from scipy.stats import rankdata

    scores = heat.data[heat.inside]
    out = np.zeros(heat.data.shape, np.float32)
    out[heat.inside] = (rankdata(scores) - 1) / max(len(scores) - 1, 1)
    return out


def _answer(
    features: FeatureMaps, positive: NDArray, negative: NDArray, weights: Mapping[int, float] | None
) -> HeatMap:
    near = [places[features.grid.contains(places)] for places in (positive, negative)]
    return heat_map(features, *near, weights=weights)


def _correlation(ranks: NDArray[np.float32], others: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    a, b = ranks[inside].astype(float), others[inside].astype(float)
    if not a.std() or not b.std():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _part(watch: ExtractionCallbacks | None, number: int, count: int) -> ExtractionCallbacks | None:
    """Make the callbacks of one of several extractions: its share of the progress, no preview."""
    if watch is None:
        return None
    whole = watch.progress

    def progress(done: int, total: int) -> None:
        if whole:
            whole(number * _SHARES + _SHARES * done // max(total, 1), count * _SHARES)

    return replace(watch, progress=progress, preview=None, outlook=None)
