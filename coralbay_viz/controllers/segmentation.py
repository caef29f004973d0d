"""Segmentation: strokes, probes, protected labels, suggestions and statistics."""

import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume, Volume

from ..jobs import Job, exclusive
from ..model.grids import planes_at
from ..model.history import History
from ..model.strokes import PaintedVoxels
from ..tasks.segmentation import LabelRequest, apply, fit_and_apply, labels_of, prepare, statistics, suggest

if TYPE_CHECKING:
    from coralbay_core.probe import LabelStatistics, Probe, Suggestion

    from ..model.scan import Scan

Point = tuple[float, float, float]


class ProbeCommands:
    """The part of `Session` that is about strokes, probes and segmentations.

    `kind` is the kind of probe, `refine` whether borders follow HU, `train_on_all` whether the strokes of all open
    scans count.
    """

    segmentation_changed = Signal(object)
    segmentation_previewed = Signal(object, object)  # Scan, and slices of what is being made: LabelVolumes
    strokes_changed = Signal(object)
    suggestions_changed = Signal(object)
    statistics_changed = Signal(object)
    protection_changed = Signal(object)

    kind: str | None = None
    refine: bool = False
    train_on_all: bool = False

    def _start_probing(self) -> None:
        self._turn_to_fit = threading.Lock()

    def paint(self, strokes: LabelVolume, scan: "Scan | None" = None) -> None:
        """Take in what is painted on a scan (the active one), and fit no probe to it yet; `undo_strokes` goes back."""
        scan = scan or self._require_scan()
        scan.probing.strokes.change(PaintedVoxels.of(strokes))  # a copy: the user may paint on while a job runs
        self.strokes_changed.emit(scan)
        if len(scan.probing.strokes.now.classes) < 2:  # a probe of strokes that are gone would surprise
            self._runner.cancel(self._lane("segmentation", scan))

    def prepare_probe(self) -> Job:
        """Do ahead what the first fit on the active scan needs, so that the first stroke does not wait for it."""
        scan = self._require_features()
        return self.run(
            self._lane("preparation", scan), partial(prepare, scan.features), lambda result: None, torch=True
        )

    def segment(self, strokes: LabelVolume, first_mm: Sequence[float] | None = None) -> Job:
        """Fit a probe to painted voxels of the active scan and apply it; `undo_strokes` goes back."""
        self.paint(strokes, self._require_features())
        return self.fit(first_mm=first_mm)

    def fit(self, kind: str | None = None, first_mm: Sequence[float] | None = None, scan: "Scan | None" = None) -> Job:
        """Fit a probe again to the strokes, and apply it to a scan.

        Parameters
        ----------
        kind : str, optional
            One of `coralbay_core.probe.KINDS`; stays until another is chosen.
        first_mm : three floats, optional
            World mm that is looked at: the slices through it come first, by `segmentation_previewed`.
        scan : Scan, optional
            By default the active one.
        """
        scan = self._require_features(scan)
        if kind is not None:
            self.kind = known_kind(kind)
        pairs = [
            (other.features, other.probing.strokes.now)
            for other in (self.scans if self.train_on_all else [scan])
            if other.features is not None and other.probing.strokes.now
        ]
        self._require(pairs or None, "nothing is painted", "paint strokes of two classes first")
        planes = () if first_mm is None else planes_at(scan.label_grid, first_mm)
        show = partial(self.segmentation_previewed.emit, scan)
        asked = partial(fit_and_apply, pairs, self.kind, self._request(scan), planes, show)
        work = exclusive(self._turn_to_fit, asked)
        return self.run(self._lane("segmentation", scan), work, partial(self._set_segmentation, scan), torch=True)

    def undo_strokes(self) -> Job | None:
        """Take the last change of the strokes back and fit again; None where there was none."""
        return self._step_strokes(lambda history: history.undo())

    def redo_strokes(self) -> Job | None:
        """Bring back what was undone."""
        return self._step_strokes(lambda history: history.redo())

    def _step_strokes(self, step: Callable[[History], bool]) -> Job | None:
        scan = self._require_scan()
        if not step(scan.probing.strokes):
            return None
        self.strokes_changed.emit(scan)
        now = scan.probing.strokes.now
        if now and len(now.classes) > 1 and scan.features is not None:
            return self.fit()
        self._runner.cancel(self._lane("segmentation", scan))
        self._set_segmentation(scan, (None, None))
        return None

    def apply_probe(self, scans: "Sequence[Scan] | None" = None) -> list[Job]:
        """Apply the active scan's probe to other open scans; by default to all that have features of its model."""
        scan = self._require_features()
        probe = self._require(scan.probe, "no probe to apply", "paint strokes and segment first")
        if scans is None:
            scans = [s for s in self.scans if s is not scan and s.features is not None]
            scans = [s for s in scans if s.features.fingerprint == probe.fingerprint]
        return [self._apply_to(other, probe) for other in scans]

    def _apply_to(self, scan: "Scan", probe: "Probe") -> Job:
        self._require(scan.features, "the scan has no features yet", "compute features first")
        probe.require_fits(scan.features)
        scan.probing.given = probe
        work = partial(apply, self._request(scan), probe)
        return self.run(self._lane("segmentation", scan), work, partial(self._set_segmentation, scan), torch=True)

    def _request(self, scan: "Scan") -> "LabelRequest":
        return LabelRequest(scan.features, scan.label_grid, self._guide(scan), scan.probing.protected)

    def _guide(self, scan: "Scan") -> Volume | None:
        """The HU that borders follow, if they shall."""
        return scan.volume if self.refine else None

    def _set_segmentation(self, scan: "Scan", result: Any) -> None:
        for asked_of_the_probe in ("suggestion", "statistics", "scores"):
            self._runner.cancel(self._lane(asked_of_the_probe, scan))
        scan.probe, scan.segmentation = result
        scan.probing.forget_results()
        self.segmentation_changed.emit(scan)

    # What must not change

    def protect(self, values: Collection[int] = ()) -> None:
        """Keep the voxels that now have one of these labels as they are; nothing is kept for none.

        Parameters
        ----------
        values : collection of int
            Of the active scan's segmentation.
        """
        scan = self._require_scan()
        now = None
        if values:
            shown = self._require(scan.segmentation, "no segmentation to protect", "segment first")
            data = np.where(np.isin(shown.data, list(values)), shown.data, 0).astype(shown.data.dtype)
            now = LabelVolume(data, shown.grid, name="protected", names=dict(shown.names))
        self.protect_labels(now)

    def protect_labels(self, labels: LabelVolume | None) -> None:
        """Keep these labels wherever they are not 0, such as a segmentation that was corrected by hand."""
        scan = self._require_scan()
        scan.probing.protected = labels
        self.protection_changed.emit(scan)

    # What to label next

    def suggest(self, count: int = 1) -> Job:
        """Look for the places where the next click helps most."""
        scan = self._require_features()
        probe = self._require(scan.probe, "no probe to suggest for", "paint strokes and segment first")
        painted = scan.probing.strokes.now
        work = partial(suggest, probe, scan.features, painted, scan.probing.skipped, count)
        return self.run(self._lane("suggestion", scan), work, partial(self._set_suggestions, scan), torch=True)

    def skip(self, number: int = 0) -> Job:
        """Turn a suggestion down, by default the first, and look for others."""
        scan = self._require_features()
        shown = self._require(scan.probing.suggestions or None, "no suggestion to skip", "ask for suggestions first")
        scan.probing.skipped = (*scan.probing.skipped, shown[number].position_mm)
        return self.suggest(len(shown))

    def _set_suggestions(self, scan: "Scan", found: "Sequence[Suggestion]") -> None:
        scan.probing.suggestions = tuple(found)
        self.suggestions_changed.emit(scan)

    # Numbers and files

    def compute_statistics(self, reference: LabelVolume | None = None) -> Job:
        """Volumes and HU of the segmentation's labels on the scan's own grid, and how it compares with a reference."""
        scan = self._require_features()
        probe = self._require(scan.probe, "no segmentation to measure", "paint strokes and segment first")
        guide = self._guide(scan)
        work = partial(statistics, probe, scan.features, scan.volume, guide, scan.probing.protected, reference)
        return self.run(self._lane("statistics", scan), work, partial(self._set_statistics, scan), torch=True)

    def _set_statistics(self, scan: "Scan", rows: "Sequence[LabelStatistics]") -> None:
        scan.probing.statistics = tuple(rows)
        self.statistics_changed.emit(scan)

    def save_statistics(self, path: str | Path) -> Job:
        """Write the statistics that were computed last as a CSV file, a label a row."""
        from coralbay_core.probe import require_table_name, save_statistics

        path, scan = Path(path), self._require_scan()
        require_table_name(path)
        rows = self._require(scan.probing.statistics or None, "no statistics to save", "compute them first")
        return self.run(f"save {path}", lambda report, cancelled: save_statistics(path, rows), self.saved.emit)

    def save_segmentation(self, path: str | Path) -> Job:
        """Write the segmentation on the grid of the scan's file, with the values that were painted."""
        scan = self._require_features()
        probe = self._require(scan.probe, "no segmentation to save", "paint strokes and segment first")
        guide = self._guide(scan)
        protected = scan.probing.protected
        asked = {"probe": probe.kind, "refined": self.refine, "protected": True if protected else None}
        features = scan.features
        return self._save(path, scan, lambda grid: labels_of(probe, features, grid, guide, protected).data, **asked)

    def save_probe(self, path: str | Path) -> Job:
        """Write the active scan's probe, for other scans and for the command line."""
        scan = self._require_scan()
        probe = self._require(scan.probe, "no probe to save", "paint strokes and segment first")
        return self.run(f"save {path}", lambda report, cancelled: probe.save(path), self.saved.emit)

    def load_probe(self, path: str | Path) -> Job:
        """Read a probe and apply it to the active scan."""
        from coralbay_core.probe import load_probe

        scan = self._require_features()
        return self._apply_to(scan, load_probe(path))


def known_kind(kind: str) -> str:
    """The kind of probe, if there is such a one."""
    from coralbay_core.probe import KINDS

    if kind not in KINDS:
        raise InputError("unknown probe", found=kind, expected=f"one of {', '.join(KINDS)}")
    return kind
