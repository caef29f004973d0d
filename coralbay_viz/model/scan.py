"""One open scan: what the user made on it and what was computed from its features."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume

from .grids import LABEL_SPACING_MM, overlay_grid, viewing_grid
from .history import History
from .results import PcaResult, ProbeState, ProjectionState

if TYPE_CHECKING:
    from coralbay_core.extraction.estimate import CostEstimate, ProgressEstimate
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import FollowUp, Match
    from coralbay_core.probe import Probe
    from coralbay_core.similarity import Query
    from coralbay_core.similarity.symmetry import Midplane, SideBySide

    from .pending_restore import PendingRestore
    from .results import WindowResult
from .clicks import Clicks, Point
from .results import HeatResult


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


@dataclass(eq=False)
class Scan:
    """A volume and all that was made of it."""

    volume: Volume
    clicks: History[Clicks] = field(default_factory=lambda: History(Clicks()))
    forecast: "CostEstimate | str | None" = None  # what computing features would take, or why that is not known
    outlook: "ProgressEstimate | None" = None  # what is ahead while features are computed
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
    restoring: "PendingRestore | None" = None  # what a session file says of it, until that has come back

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
        from coralbay_core.extraction.cache import content_digest

        return content_digest(self.volume)

    def forget_results(self) -> None:
        """Drop what came from features, as another model's features replace them."""
        self.features = self.model = self.heat = self.pca = self.probe = self.segmentation = None
        self.preview = self.outlook = None
        self.probing.forget_results()
        self.projecting = ProjectionState()
        self.midplane = self.symmetry = self.symmetry_shown = self.follow_up = None
        self.follow_up_rows = ()
