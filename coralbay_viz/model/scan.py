"""One open scan: what the user made on it, and the results of its features."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume

from .clicks import Clicks, Point
from .grids import LABEL_SPACING_MM, overlay_grid, viewing_grid
from .history import History
from .results import HeatResult, PcaResult, Results, ScoreResult, WarpedResult, WindowResult
from .strokes import PaintedVoxels

if TYPE_CHECKING:
    from coralbay_core.extraction.estimate import CostEstimate, ProgressEstimate
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import FollowUp, Match
    from coralbay_core.probe import LabelStatistics, Probe, Suggestion
    from coralbay_core.projection import Scatter
    from coralbay_core.similarity import Query
    from coralbay_core.similarity.symmetry import Midplane, SideBySide

    from .pending_restore import PendingRestore


def unique_names(scans: "Sequence[Scan]") -> list[str]:
    """Names of scans; with their folder, then with a number, where they would be the same."""
    names = [scan.name for scan in scans]
    alike = Counter(names)
    for number, scan in enumerate(scans):
        path = scan.volume.path
        if alike[scan.name] > 1 and path is not None and path.is_file():
            names[number] = f"{path.parent.name}/{scan.name}"
    taken = Counter(names)
    return [f"{name} ({names[:n].count(name) + 1})" if taken[name] > 1 else name for n, name in enumerate(names)]


def title_beside(scans: "Sequence[Scan]", scan: "Scan") -> str:
    """Title of a scan that is shown beside another one: its unique name, and what its heat map still waits for."""
    name = unique_names(scans)[scans.index(scan)]
    waits = scan.heat is not None and scan.heat.provisional
    return f"{name}: not aligned yet, similar places of the whole scan" if waits else name


@dataclass(eq=False)
class Scan:
    """A volume, what the user made on it, and the results of its features.

    Parameters
    ----------
    volume : Volume
    clicks : History of Clicks
    queries_in_use : tuple of Query
        Saved queries that the heat map answers besides the clicks.
    origin : Scan, optional
        Scan whose clicks the heat map answers, if not this one.
    strokes : History of PaintedVoxels
        None before anything was painted.
    protected : LabelVolume, optional
        Labels that no probe may change.
    skipped : tuple of points
        Suggestions that were declined, world mm.
    class_colors : dict of int to str
        Chosen colors of labels, ``#rrggbb``; `ClassesController` keeps them equal in all scans.
    shown_suggestion : int, optional
        Index of the suggestion that waits for an answer.
    scored : tuple of one int or None, optional
        Label whose probability is shown, or None for the most likely label of each voxel; None while none is shown.
    given_probe : Probe, optional
        Probe that was loaded or applied from another scan, so the scan's own strokes cannot reproduce it.
    cursor_mm : point, optional
    marked : int, optional
        Index of the marked region of the heat map.
    results : Results
        Replaced by `update`, and as a whole by another model's features.
    forecast : CostEstimate or str, optional
        Cost of computing the features, or the reason why it is not known.
    outlook : ProgressEstimate, optional
        Remaining cost while features are computed.
    preview : FeatureMaps, optional
        First features of a box, while the others are computed.
    restoring : PendingRestore, optional
        Saved state that is not restored yet.
    """

    volume: Volume
    clicks: History[Clicks] = field(default_factory=lambda: History(Clicks()))
    queries_in_use: "tuple[Query, ...]" = ()
    origin: "Scan | None" = None
    strokes: "History[PaintedVoxels | None]" = field(default_factory=lambda: History(None))
    protected: LabelVolume | None = None
    before_accepting: tuple[LabelVolume | None, ...] = ()
    skipped: tuple[Point, ...] = ()
    class_colors: dict[int, str] = field(default_factory=dict)
    shown_suggestion: int | None = None
    scored: tuple[int | None] | None = None
    given_probe: "Probe | None" = None
    cursor_mm: Point | None = None
    marked: int | None = None
    results: Results = field(default_factory=Results)
    forecast: "CostEstimate | str | None" = None
    outlook: "ProgressEstimate | None" = None
    preview: "FeatureMaps | None" = None
    restoring: "PendingRestore | None" = None

    def update(self, **changes: Any) -> None:
        """Replace single results, given by the names of `Results`."""
        self.results = replace(self.results, **changes)

    @property
    def name(self) -> str:
        """Name of the volume."""
        return self.volume.name

    @cached_property
    def overlay_grid(self) -> Grid:
        """Grid that smooth maps are drawn on."""
        return overlay_grid(viewing_grid(self.volume.grid))

    @cached_property
    def label_grid(self) -> Grid:
        """Grid that labels are drawn and painted on: the scan's own, unless that is finer than needed."""
        shown = viewing_grid(self.volume.grid)
        return shown if np.prod(shown.shape) <= 160**3 else overlay_grid(shown, LABEL_SPACING_MM)

    @cached_property
    def digest(self) -> str:
        """Hash of voxels and affine; computed on first use."""
        from coralbay_core.extraction.cache import content_digest

        return content_digest(self.volume)

    # Read access to the results

    @property
    def features(self) -> "FeatureMaps | None":
        """`Results.features`."""
        return self.results.features

    @property
    def model(self) -> str | None:
        """`Results.model`."""
        return self.results.model

    @property
    def heat(self) -> HeatResult | None:
        """`Results.heat`."""
        return self.results.heat

    @property
    def hover(self) -> HeatResult | None:
        """`Results.hover`."""
        return self.results.hover

    @property
    def pca(self) -> PcaResult | None:
        """`Results.pca`."""
        return self.results.pca

    @property
    def probe(self) -> "Probe | None":
        """`Results.probe`."""
        return self.results.probe

    @property
    def segmentation(self) -> LabelVolume | None:
        """`Results.segmentation`."""
        return self.results.segmentation

    @property
    def suggestions(self) -> "tuple[Suggestion, ...]":
        """`Results.suggestions`."""
        return self.results.suggestions

    @property
    def statistics(self) -> "tuple[LabelStatistics, ...]":
        """`Results.statistics`."""
        return self.results.statistics

    @property
    def scores(self) -> ScoreResult | None:
        """`Results.scores`."""
        return self.results.scores

    @property
    def selection(self) -> NDArray[np.bool_] | None:
        """`Results.selection`."""
        return self.results.selection

    @property
    def clusters(self) -> LabelVolume | None:
        """`Results.clusters`."""
        return self.results.clusters

    @property
    def scatter(self) -> "Scatter | None":
        """`Results.scatter`."""
        return self.results.scatter

    @property
    def midplane(self) -> "Midplane | None":
        """`Results.midplane`."""
        return self.results.midplane

    @property
    def symmetry(self) -> "SideBySide | None":
        """`Results.symmetry`."""
        return self.results.symmetry

    @property
    def symmetry_shown(self) -> NDArray[np.float32] | None:
        """`Results.symmetry_shown`."""
        return self.results.symmetry_shown

    @property
    def follow_up(self) -> "FollowUp | None":
        """`Results.follow_up`."""
        return self.results.follow_up

    @property
    def follow_up_rows(self) -> tuple[dict[str, Any], ...]:
        """`Results.follow_up_rows`."""
        return self.results.follow_up_rows

    @property
    def matched(self) -> "Match | None":
        """`Results.matched`."""
        return self.results.matched

    @property
    def windows(self) -> WindowResult | None:
        """`Results.windows`."""
        return self.results.windows

    @property
    def warped(self) -> WarpedResult | None:
        """`Results.warped`."""
        return self.results.warped

    @property
    def probing(self) -> "Scan":
        """Former home of `strokes`, `suggestions`, `statistics` and `scores`; kept for scripts."""
        return self

    @property
    def projecting(self) -> Results:
        """Former home of `selection`, `clusters` and `scatter`; kept for scripts."""
        return self.results
