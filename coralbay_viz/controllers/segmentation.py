"""Segmentation: strokes, probes, protected labels and statistics."""

import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume, Volume
from coralbay_core.spatial.resampling import labels_on
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey, Kind, Work, exclusive, without_context
from ..model.grids import planes_at
from ..model.history import History
from ..model.palette import colored
from ..model.results import Results
from ..model.scan import Scan
from ..model.strokes import PaintedVoxels
from ..tasks.labeling import Connections, Labeling
from ..tasks.segmentation import LabelRequest, apply, fit_and_apply, prepare, statistics
from .checks import checked_number
from .features import FeaturesController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.probe import Kind as ProbeKind
    from coralbay_core.probe import LabelStatistics, Probe

DEFAULT_CONNECTIVITY = 0.5
MOST_LABELS = 65535
_OF_THE_PROBE: tuple[Kind, ...] = ("suggestion", "statistics", "scores")
NO_PROBE = "paint strokes and segment first"


class SegmentationController:
    """Strokes, the probe that is fitted to them, and its segmentation.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController

    Attributes
    ----------
    refine : bool
        Whether borders follow the HU.
    keep_islands : bool
        Whether parts of a class without a stroke keep it.
    train_on_all : bool
        Whether strokes of all open scans are used.
    """

    segmentation_changed = Signal(Scan)
    segmentation_previewed = Signal(Scan, object)  # slices of the segmentation that is computed: LabelVolumes
    strokes_changed = Signal(Scan)
    statistics_changed = Signal(Scan)
    protection_changed = Signal(Scan)

    def __init__(self, workspace: Workspace, features: FeaturesController) -> None:
        self._workspace = workspace
        self._fit_lock = threading.Lock()
        self._kind: ProbeKind | None = None
        self.refine = False
        self._connectivity = DEFAULT_CONNECTIVITY
        self.keep_islands = False
        self.train_on_all = False
        features.results_replaced.connect(self._results_replaced)

    # Settings

    @property
    def kind(self) -> "ProbeKind | None":
        """Kind of probe, one of `coralbay_core.probe.KINDS`; None for the default."""
        return self._kind

    @kind.setter
    def kind(self, kind: str | None) -> None:
        self._kind = None if kind is None else known_kind(kind)

    @property
    def connectivity(self) -> float:
        """How far strokes spread over connections between cells, from 0 (each cell is classified alone) to 1."""
        return self._connectivity

    @connectivity.setter
    def connectivity(self, share: float) -> None:
        self._connectivity = checked_number(share, "connectivity", 0, 1, "0 to 1", from_low=True)

    # Strokes

    @checked
    def paint(self, strokes: Any, scan: Scan | None = None) -> None:
        """Set the strokes of a scan (the active one) without fitting a probe; `undo_strokes` goes back."""
        scan = scan or self._workspace.require_scan()
        strokes = _as_labels(strokes, scan)
        if strokes.data.min(initial=0) < 0:
            raise InputError("strokes of a negative class", found=strokes.data.min(), expected="classes from 1 on")
        painted = PaintedVoxels.of(strokes)  # a copy: the user may paint on while a job runs
        scan.strokes.change(painted)
        self.strokes_changed.emit(scan)
        if len(painted.classes) < 2:  # a probe of strokes that no longer exist would surprise
            self._workspace.stop("segmentation", scan)

    def undo_strokes(self) -> Job | None:
        """Undo the last change of the strokes and fit again; None where there was none."""
        return self._step_strokes(History.undo)

    def redo_strokes(self) -> Job | None:
        """Redo what was undone."""
        return self._step_strokes(History.redo)

    def _step_strokes(self, step: "Callable[[History[PaintedVoxels | None]], bool]") -> Job | None:
        scan = self._workspace.require_scan()
        if not step(scan.strokes):
            return None
        self.strokes_changed.emit(scan)
        now = scan.strokes.now
        if now and len(now.classes) > 1 and scan.features is not None:
            return self.fit()
        self._workspace.stop("segmentation", scan)
        self._set_segmentation(scan, (None, None))
        return None

    # Probe and segmentation

    def prepare_probe(self) -> Job:
        """Do the part of the first fit that does not depend on strokes, so that the first stroke is answered fast."""
        scan, features = self._workspace.require_features()
        work = without_context(partial(prepare, features))
        return self._workspace.run(JobKey("preparation", scan), work, lambda result: None, torch=True)

    @checked
    def segment(self, strokes: Any, first_mm: Sequence[float] | None = None) -> Job:
        """Fit a probe to painted voxels of the active scan and apply it; `undo_strokes` goes back."""
        scan, _ = self._workspace.require_features()
        strokes = _as_labels(strokes, scan)
        require(bool(np.any(strokes.data)) or None, "no strokes to train on", "paint strokes of two classes first")
        self.paint(strokes, scan)
        return self.fit(first_mm=first_mm)

    @checked
    def fit(self, kind: str | None = None, first_mm: Sequence[float] | None = None, scan: Scan | None = None) -> Job:
        """Fit a probe to the strokes again and apply it to a scan.

        Parameters
        ----------
        kind : str, optional
            One of `coralbay_core.probe.KINDS`; stays until another is chosen.
        first_mm : three floats, optional
            World mm; the slices through it come first, by `segmentation_previewed`.
        scan : Scan, optional
            By default the active one.
        """
        scan, features = self._workspace.require_features(scan)
        if kind is not None:
            self.kind = kind
        pairs = [
            (other.features, other.strokes.now)
            for other in (self._workspace.scans if self.train_on_all else [scan])
            if other.features is not None and other.strokes.now
        ]
        require(pairs or None, "no strokes to train on", "paint strokes of two classes first")
        planes = () if first_mm is None else planes_at(scan.label_grid, first_mm)
        show = partial(self.segmentation_previewed.emit, scan)
        work = partial(fit_and_apply, pairs, self.kind, self._request(scan, features), planes, show)
        return self._run_segmentation(scan, exclusive(self._fit_lock, work))

    @checked
    def apply_probe(self, scans: Sequence[Scan] | None = None) -> list[Job]:
        """Apply the active scan's probe to other open scans; by default to all that have features of its model."""
        scan, _ = self._workspace.require_features()
        probe = require(scan.probe, "no probe to apply", NO_PROBE)
        if scans is None:
            others = [s for s in self._workspace.scans if s is not scan]
            scans = [s for s in others if s.features is not None and s.features.fingerprint == probe.fingerprint]
        return [self.apply_to(other, probe) for other in scans]

    def apply_to(self, scan: Scan, probe: "Probe") -> Job:
        """Apply a probe to a scan."""
        scan, features = self._workspace.require_features(scan)
        probe.require_fits(features)
        scan.given_probe = probe
        return self._run_segmentation(scan, partial(apply, self._request(scan, features), probe))

    def _run_segmentation(self, scan: Scan, work: Work) -> Job:
        done = partial(self._set_segmentation, scan)
        return self._workspace.run(JobKey("segmentation", scan), work, done, torch=True)

    def _request(self, scan: Scan, features: "FeatureMaps") -> LabelRequest:
        return LabelRequest(self.labeling(scan, features), scan.label_grid)

    def labeling(self, scan: Scan, features: "FeatureMaps") -> Labeling:
        """Return the input of labels and scores of a scan, with the settings and strokes of now."""
        strokes, connections = scan.strokes.now, None
        if strokes and self.connectivity > 0:
            connections = Connections(strokes.labels, scan.volume, pull_of(self.connectivity), self.keep_islands)
        return Labeling(features, self.guide(scan), scan.protected, connections)

    def guide(self, scan: Scan) -> Volume | None:
        """Return the volume whose HU the borders follow, or None."""
        return scan.volume if self.refine else None

    def _set_segmentation(self, scan: Scan, result: "tuple[Probe | None, LabelVolume | None]") -> None:
        for kind in _OF_THE_PROBE:
            self._workspace.stop(kind, scan)
        probe, segmentation = result
        scan.shown_suggestion = None
        scan.update(probe=probe, segmentation=segmentation, suggestions=(), statistics=())
        self.segmentation_changed.emit(scan)

    def _results_replaced(self, scan: Scan, old: Results) -> None:
        if scan.protected is not None:
            self.show_protected(scan)  # accepted regions do not depend on features
        else:
            self.segmentation_changed.emit(scan)

    # Protected labels

    def protect(self, values: Collection[int] = ()) -> None:
        """Protect the voxels that now have one of these labels; without values, protect none.

        Parameters
        ----------
        values : collection of int
            Of the active scan's segmentation.
        """
        scan = self._workspace.require_scan()
        protected = None
        try:
            wanted = [int(value) for value in values]
        except (TypeError, ValueError):
            raise InputError("not a list of labels", found=values, expected="values such as [2, 3]") from None
        if wanted:
            shown = require(scan.segmentation, "no segmentation to protect", "segment first")
            data = np.where(np.isin(shown.data, wanted), shown.data, 0).astype(shown.data.dtype)
            protected = LabelVolume(data, shown.grid, name="protected", names=dict(shown.names))
        self.protect_labels(protected)

    @checked
    def protect_labels(self, labels: Any, scan: Scan | None = None) -> None:
        """Protect these labels wherever they are not 0, such as a segmentation that was corrected by hand."""
        scan = scan or self._workspace.require_scan()
        scan.protected = None if labels is None else _as_labels(labels, scan)
        self.protection_changed.emit(scan)

    # Accepted regions

    def class_names(self, scan: Scan) -> dict[int, str]:
        """Names of the labels of a scan: of its strokes, its segmentation and its protected labels."""
        strokes = scan.strokes.now
        known: dict[int, str] = {} if strokes is None else dict.fromkeys(strokes.classes, "") | dict(strokes.names)
        for labels in (scan.segmentation, scan.protected):
            known |= {} if labels is None else dict(labels.names)
        return known

    def accept(
        self, mask: NDArray[np.bool_], value: int | None = None, name: str = "", scan: Scan | None = None
    ) -> Job | None:
        """Add a region to the segmentation as a protected label; other protected labels stay as they are.

        Parameters
        ----------
        mask : (z, y, x) bool array
            On the scan's label grid.
        value : int, optional
            Label, 1 or above; by default that of the class with this name, else a new one.
        name : str
            Of the label; a new one without a name is called by its number.
        scan : Scan, optional
            By default the active one.
        """
        scan = scan or self._workspace.require_scan()
        grid = scan.label_grid
        if value is None:
            known = self.class_names(scan)
            new = max(known, default=1) + 1
            value = next((number for number, other in known.items() if name and other == name), new)
            name = name or f"structure {value}"
        if mask.shape != grid.shape:
            raise InputError("region and scan differ in shape", where=scan.name, found=mask.shape, expected=grid.shape)
        if not 1 <= value <= MOST_LABELS:
            raise InputError("label out of range", found=value, expected=f"1 to {MOST_LABELS}")
        before = scan.protected
        data = np.zeros(grid.shape, np.uint16) if before is None else labels_on(before, grid).astype(np.uint16)
        free = mask & (data == 0)
        if not free.any():
            raise InputError("nothing to add", where=scan.name, hint="the region is empty or already labeled")
        data[free] = value
        names = {} if before is None else dict(before.names)
        if name:
            names[value] = name
        scan.before_accepting = (*scan.before_accepting, before)
        return self._replace_protected(scan, LabelVolume(data, grid, name="protected", names=names))

    def accept_labels(self, labels: LabelVolume, scan: Scan) -> Job | None:
        """Protect labels on a scan's label grid; those that were protected before win where both are."""
        before = scan.protected
        data, names = labels.data.astype(np.uint16), dict(labels.names)
        if before is not None:
            fixed = labels_on(before, labels.grid)
            data, names = np.where(fixed != 0, fixed, data).astype(np.uint16), names | dict(before.names)
        scan.before_accepting = (*scan.before_accepting, before)
        return self._replace_protected(scan, LabelVolume(data, labels.grid, name="protected", names=names))

    def undo_accept(self) -> Job | None:
        """Remove the region that was added last."""
        scan = self._workspace.require_scan()
        if not scan.before_accepting:
            return None
        *rest, before = scan.before_accepting
        scan.before_accepting = tuple(rest)
        return self._replace_protected(scan, before)

    def _replace_protected(self, scan: Scan, labels: LabelVolume | None) -> Job | None:
        self.protect_labels(labels, scan)
        if scan.probe is not None and scan.features is not None:
            return self._run_segmentation(scan, partial(apply, self._request(scan, scan.features), scan.probe))
        self.show_protected(scan)
        return None

    def show_protected(self, scan: Scan) -> None:
        """Show the protected labels as the segmentation, where no probe makes one."""
        if scan.probe is None:
            self._set_segmentation(scan, (None, scan.protected))

    # Statistics and files

    @checked
    def compute_statistics(self, reference: LabelVolume | None = None) -> Job:
        """Measure volume and HU of each label on the scan's own grid, and the overlap with a reference."""
        scan, features = self._workspace.require_features()
        require(scan.segmentation, "no segmentation to measure", NO_PROBE)
        work = partial(statistics, scan.probe, self.labeling(scan, features), scan.volume, reference)
        done = partial(self._set_statistics, scan)
        return self._workspace.run(JobKey("statistics", scan), without_context(work), done, torch=True)

    def _set_statistics(self, scan: Scan, rows: "Sequence[LabelStatistics]") -> None:
        scan.update(statistics=tuple(rows))
        self.statistics_changed.emit(scan)

    @checked
    def save_statistics(self, path: str | Path) -> Job:
        """Write the statistics that were computed last as a CSV file with one row per label."""
        from coralbay_core.probe import require_table_name, save_statistics

        path, scan = Path(path), self._workspace.require_scan()
        require_table_name(path)
        rows = require(scan.statistics or None, "no statistics to save", "compute them first")
        return self._workspace.write(path, without_context(partial(save_statistics, path, rows)))

    @checked
    def save_segmentation(self, path: str | Path) -> Job:
        """Write the segmentation on the grid of the scan's file, with the values that were painted.

        In ``.seg.nrrd``, for 3D Slicer, and in ``.ome.zarr`` with the names and colors of the classes.
        """
        scan, features = self._workspace.require_features()
        require(scan.segmentation, "no segmentation to save", NO_PROBE)
        probe, how = scan.probe, self.labeling(scan, features)
        parameters = {
            "probe": None if probe is None else probe.kind,
            "refined": self.refine,
            "connectivity": self.connectivity,
            "protected": True if how.protected else None,
        }
        colors = dict(scan.class_colors)
        return self._workspace.write_map(
            path, scan, lambda grid: colored(how.labels(probe, grid), colors), **parameters
        )

    @checked
    def save_probe(self, path: str | Path) -> Job:
        """Write the active scan's probe, for other scans and for the command line."""
        probe = require(self._workspace.require_scan().probe, "no probe to save", NO_PROBE)
        return self._workspace.write(path, without_context(partial(probe.save, path)))

    @checked
    def load_probe(self, path: str | Path) -> Job:
        """Read a probe and apply it to the active scan."""
        from coralbay_core.probe import load_probe

        scan, _ = self._workspace.require_features()
        return self.apply_to(scan, load_probe(path))


def _as_labels(labels: Any, scan: Scan) -> LabelVolume:
    """Return labels; those that another library holds are turned to the axes of the scan."""
    from coralbay_core.io import load_labels

    if isinstance(labels, LabelVolume):
        return labels
    nothing = np.broadcast_to(np.uint8(0), scan.label_grid.shape)
    return load_labels(labels, like=LabelVolume(nothing, scan.label_grid, scan.name))


def pull_of(connectivity: float) -> float:
    """Weight of the probe against connections: the default at one half, ten times less at 1."""
    from coralbay_core.probe import DEFAULT_PULL

    if not 0 < connectivity <= 1:
        raise InputError("connectivity out of range", found=connectivity, expected="0 to 1")
    return float(DEFAULT_PULL * 10 ** (1 - 2 * connectivity))


def known_kind(kind: str) -> "ProbeKind":
    """Return the kind of probe, or raise if there is none of this name."""
    from coralbay_core.probe import KINDS

    if kind not in KINDS:
        raise InputError("unknown probe", found=kind, expected=f"one of {', '.join(KINDS)}")
    return kind
