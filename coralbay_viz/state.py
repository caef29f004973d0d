"""What a session knows about one scan: plain values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import InputError
from coralbay_core.volume import Grid, LabelVolume, Volume

from .history import History
from .layers import LABEL_SPACING_MM, overlay_grid, viewing_grid
from .probing import ProbeState
from .projecting import PcaResult, ProjectionState

if TYPE_CHECKING:
    from coralbay_core.across import FollowUp, Match
    from coralbay_core.features import FeatureMaps
    from coralbay_core.forecast import Forecast
    from coralbay_core.outlook import Outlook
    from coralbay_core.probe import Probe
    from coralbay_core.similarity import HeatMap, Query, Region
    from coralbay_core.symmetry import Midplane, SideBySide

    from .inspecting import WindowResult
    from .snapshot import Restoring

Point = tuple[float, float, float]
Mixer = Mapping[int, float] | str | None


def checked_weights(weights: Any) -> Mixer:
    """Weights of strides as a dict of int to float, ``auto``, or None for equal ones; anything else is refused."""
    if weights is None or weights == "auto":
        return weights
    try:
        chosen = {int(stride): float(weight) for stride, weight in weights.items()}
    except (AttributeError, TypeError, ValueError):
        chosen = {}
    if not chosen or not all(0 <= w < float("inf") for w in chosen.values()) or not any(chosen.values()):
        raise InputError("unusable scale weights", found=weights, expected='e.g. {4: 1, 8: 0.5}, "auto" or None')
    return chosen


@dataclass(frozen=True)
class Clicks:
    """Points that should and should not light up, world mm."""

    positive: tuple[Point, ...] = ()
    negative: tuple[Point, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.positive or self.negative)

    def add(self, point: Point, negative: bool) -> "Clicks":
        if negative:
            return Clicks(self.positive, self.negative + (point,))
        return Clicks(self.positive + (point,), self.negative)

    def near(self, point: Point, within_mm: float) -> Point | None:
        """The click nearest to a point, of either kind; None where none is within the distance."""
        away = {click: float(np.linalg.norm(np.subtract(click, point))) for click in (*self.positive, *self.negative)}
        nearest = min(away, key=away.__getitem__, default=None)
        return nearest if nearest is not None and away[nearest] <= within_mm else None

    def replace(self, click: Point, point: Point | None) -> "Clicks":
        """The same with a click at another point, or without it."""
        moved = () if point is None else (point,)
        sides = (sum((moved if p == click else (p,) for p in side), ()) for side in (self.positive, self.negative))
        return Clicks(*sides)

    def inside(self, grid: Grid) -> "Clicks":
        """Those that lie on a grid."""
        return Clicks(*(tuple(p for p in side if grid.contains(p)) for side in (self.positive, self.negative)))


class ScoreScale:
    """Scores of a heat map inside the body, by rank: a slider over ranks serves any model, one over scores does not.

    Parameters
    ----------
    scores : (n,) array
        Scores of all body cells.
    """

    def __init__(self, scores: NDArray) -> None:
        self._shares = np.geomspace(1e-4, 1, 401)
        self._scores = np.quantile(scores, 1 - self._shares) if len(scores) else np.zeros(401)
        self.low, self.high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)

    def score_of(self, share: float) -> float:
        """Score that the best `share` of the body reaches."""
        return float(np.interp(np.log(share), np.log(self._shares), self._scores))


@dataclass(frozen=True, eq=False)
class HeatResult:
    """A heat map with what a view needs of it.

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
        That it answers.
    partial : bool
        Whether it comes from the first features alone; elsewhere `shown` has its minimum.
    """

    heat: "HeatMap"
    shown: NDArray[np.float32]
    grid: Grid
    scale: ScoreScale
    regions: "tuple[Region, ...]"
    clicks: Clicks
    partial: bool = False


def names_apart(scans: "Sequence[Scan]") -> list[str]:
    """Names of scans; with their folder, then with a number, where they would be the same."""
    names = [scan.name for scan in scans]
    alike = Counter(names)
    for number, scan in enumerate(scans):
        path = scan.volume.path
        if alike[scan.name] > 1 and path is not None and path.is_file():
            names[number] = f"{path.parent.name}/{scan.name}"
    taken = Counter(names)
    return [f"{name} ({names[:n].count(name) + 1})" if taken[name] > 1 else name for n, name in enumerate(names)]


@dataclass(eq=False)
class Scan:
    """A volume and all that was made of it."""

    volume: Volume
    clicks: History[Clicks] = field(default_factory=lambda: History(Clicks()))
    forecast: "Forecast | str | None" = None  # what computing features would take, or why that is not known
    outlook: "Outlook | None" = None  # what is ahead while features are computed
    preview: "FeatureMaps | None" = None  # the first of them, of one box
    features: "FeatureMaps | None" = None
    model: str | None = None
    heat: HeatResult | None = None
    pca: PcaResult | None = None
    probe: "Probe | None" = None
    segmentation: LabelVolume | None = None
    probing: ProbeState = field(default_factory=ProbeState)
    projecting: ProjectionState = field(default_factory=ProjectionState)
    series: str | None = None
    origin: "Scan | None" = None  # the scan whose clicks the heat map answers, if not its own
    used: "tuple[Query, ...]" = ()
    midplane: "Midplane | None" = None
    symmetry: "SideBySide | None" = None
    symmetry_shown: "NDArray[np.float32] | None" = None  # its heat map on the overlay grid
    follow_up: "FollowUp | None" = None
    follow_up_rows: tuple[dict[str, Any], ...] = ()
    cursor_mm: Point | None = None
    matched: "Match | None" = None  # the place that the cursor of another scan means here
    hover: HeatResult | None = None
    windows: "WindowResult | None" = None
    marked: int | None = None  # of the heat map's regions, from 0
    restoring: "Restoring | None" = None  # what a session file says of it, until that has come back

    @property
    def name(self) -> str:
        return self.volume.name

    @cached_property
    def overlay_grid(self) -> Grid:
        """Where smooth maps are drawn."""
        return overlay_grid(viewing_grid(self.volume.grid))

    @cached_property
    def label_grid(self) -> Grid:
        """Where labels are drawn and painted: the scan's own grid if that is not finer than needed."""
        shown = viewing_grid(self.volume.grid)
        return shown if np.prod(shown.shape) <= 160**3 else overlay_grid(shown, LABEL_SPACING_MM)

    @cached_property
    def digest(self) -> str:
        """Hash of voxels and affine; takes a moment the first time."""
        from coralbay_core.store import content_digest

        return content_digest(self.volume)

    def forget_results(self) -> None:
        """Drop what came from features, as another model's features replace them."""
        self.features = self.model = self.heat = self.pca = self.probe = self.segmentation = None
        self.preview = self.outlook = None
        self.probing.forget_results()
        self.projecting = ProjectionState()
        self.midplane = self.symmetry = self.symmetry_shown = self.follow_up = None
        self.follow_up_rows = ()
