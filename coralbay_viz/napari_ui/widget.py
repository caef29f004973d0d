"""The dock widget: panels on one side, session and layers on the other, and nothing but wires between them."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils import notifications
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QFrame, QScrollArea, QVBoxLayout, QWidget

from coralbay_core.errors import CoralBayError

from .. import work
from ..colors import WINDOWS
from ..jobs import Job, ThreadRunner
from ..session import Session
from . import views
from .binding import Binding
from .bridge import Courier
from .panels import FeaturePanel, ScanPanel, SegmentPanel, SimilarPanel
from .picking import PickTool

if TYPE_CHECKING:
    import napari

    from ..state import Scan

_log = logging.getLogger(__name__)
_STYLE = """
#coralbay_heading {font-size: 13px;}
#coralbay_note {font-size: 11px;}
QHeaderView::section {background-color: transparent; border: 0; padding: 1px 4px;}
"""


def _told(command: Callable[..., Any]) -> Callable[..., Any]:
    """An error of a command becomes a notification."""

    @wraps(command)
    def told(self: "CoralBayWidget", *args: Any) -> Any:
        try:
            return command(self, *args)
        except CoralBayError as error:
            notifications.show_warning(str(error))
            return None

    return told


def threaded_session(**settings: Any) -> Session:
    """A session that works on threads and speaks on this one, which must be the GUI's."""
    courier = Courier()
    return Session(ThreadRunner(courier.deliver), **settings)


class CoralBayWidget(QWidget):
    """Everything of CoralBay in one dock widget of napari.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    session : Session, optional
        By default one of its own, which works on threads.
    """

    def __init__(self, napari_viewer: "napari.Viewer", session: Session | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session or threaded_session()
        self._features_job: Job | None = None
        self._lay_out()
        self._connect_panels()
        # First the layers, then the panels: those ask the binding which layers there are.
        self.binding = Binding(napari_viewer, self.session)
        self._connect_session()
        self.pick_tool = PickTool(napari_viewer, self._picked, self._explain)
        for event in (napari_viewer.dims.events.ndisplay, napari_viewer.dims.events.order):
            event.connect(self._show_view)
        # Qt deletes the widget when its dock is closed; Python may keep the object long after.
        self.destroyed.connect(self._let_go(napari_viewer))
        self.binding.adopt_layers()
        self._show_scan(self.session.scan)

    def _lay_out(self) -> None:
        self.scan_panel = ScanPanel()
        self.feature_panel = FeaturePanel(work.model_names(), self.session.model)
        self.similar_panel = SimilarPanel(self.session.share)
        self.segment_panel = SegmentPanel()
        inner = QWidget()
        column = QVBoxLayout(inner)
        for panel in (self.scan_panel, self.feature_panel, self.similar_panel, self.segment_panel):
            column.addWidget(panel)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setStyleSheet(_STYLE)
        self.setMinimumWidth(300)

    # What the user wants

    def _connect_panels(self) -> None:
        scan, features, similar, segment = self.scan_panel, self.feature_panel, self.similar_panel, self.segment_panel
        for signal, slot in (
            (scan.file_wanted, self._open_file),
            (scan.folder_wanted, self._open_folder),
            (scan.scan_chosen, lambda number: self.session.activate(self.session.scans[number])),
            (scan.view_chosen, lambda view: views.show_view(self.viewer, view)),
            (scan.window_chosen, lambda name: self.binding.set_window(WINDOWS[name].limits_hu)),
            (features.compute_wanted, self._compute),
            (features.cancel_wanted, lambda: self.session.cancel("features")),
            (features.model_chosen, self._choose_model),
            (features.browse_wanted, self._browse_model),
            (features.pca_wanted, self._want_pca),
            (similar.pick_toggled, self._pick),
            (similar.undo_wanted, self._undo),
            (similar.clear_wanted, self._clear),
            (similar.share_chosen, lambda share: setattr(self.session, "share", share)),
            (similar.region_chosen, self._go_to_region),
            (similar.save_wanted, lambda: self._save("heat map", "heat", self.session.save_heat)),
            (segment.strokes_wanted, self._new_strokes),
            (segment.segment_wanted, self._segment),
            (segment.save_wanted, lambda: self._save("segmentation", "seg", self.session.save_segmentation)),
        ):
            signal.connect(slot)

    def _open_file(self) -> None:
        kinds = "CT scans (*.nii *.nii.gz *.dcm);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self, "Open a scan", "", kinds)
        if path:
            self.open(path)

    def _open_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a DICOM folder")
        if path:
            self.open(path)

    @_told
    def open(self, path: str | Path) -> None:
        """Open a scan as if the user had chosen it."""
        self.session.open(path)

    @_told
    def _compute(self) -> None:
        self.session.compute()

    def _choose_model(self, name: str) -> None:
        self.session.model = name

    def _browse_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Weights of a model", "", "Weights (*.safetensors *.pt *.pth)")
        if path:
            self.session.model = path

    @_told
    def _want_pca(self, wanted: bool) -> None:
        if wanted and self.session.pca is None:
            self.session.compute_pca()
        self.binding.set_visible("pca", wanted)

    def show_pca_layer(self, shown: bool) -> None:
        """Show or hide the PCA colors, if there are any."""
        self.binding.set_visible("pca", shown)
        self._show_pca()

    def _pick(self, on: bool) -> None:
        self.pick_tool.on = on

    @_told
    def _picked(self, position_mm: Any, negative: bool) -> None:
        self.session.click(position_mm, negative)
        # One colored layer at a time: a heat map over PCA colors says nothing.
        self.show_pca_layer(False)

    @_told
    def _undo(self) -> None:
        self.session.undo()

    @_told
    def _clear(self) -> None:
        self.session.clear_clicks()

    def _go_to_region(self, number: int) -> None:
        heat = self.session.heat
        if heat is not None and 0 <= number < len(heat.regions):
            self.binding.go_to(heat.regions[number].position_mm)

    @_told
    def _new_strokes(self) -> None:
        self.similar_panel.pick.setChecked(False)
        self.binding.new_strokes()
        self._show_segment()

    @_told
    def _segment(self) -> None:
        strokes = self.binding.strokes()
        if strokes is not None:
            self.session.segment(strokes)

    @_told
    def _save(self, what: str, stem: str, save: Callable[[str], Job]) -> None:
        path, _ = QFileDialog.getSaveFileName(self, f"Save the {what}", f"{stem}.nii.gz", "NIfTI (*.nii.gz *.nii)")
        if path:
            save(path)

    # What the session says

    def _connect_session(self) -> None:
        session = self.session
        for signal, slot in (
            (session.scan_changed, self._show_scan),
            (session.features_changed, self._features_done),
            (session.clicks_changed, self._show_similar),
            (session.heat_changed, self._show_similar),
            (session.share_changed, self._show_share),
            (session.segmentation_changed, self._show_segment),
            (session.pca_changed, self._show_pca),
            (session.model_changed, self._show_model),
            (session.job_started, self._job_started),
            (session.saved, self._saved),
            (session.failed, self.show_error),
        ):
            signal.connect(slot)

    def _show_scan(self, scan: "Scan | None" = None) -> None:
        scans = self.session.scans
        current = scans.index(self.session.scan) if self.session.scan else None
        self.scan_panel.show_scans([other.name for other in scans], current)
        self.scan_panel.show_volume(self.session.volume)
        self._show_view()
        self._show_features()
        self._show_pca()
        self._show_similar()
        self._show_segment()

    def _show_view(self) -> None:
        self.scan_panel.show_view(views.current_view(self.viewer))

    def _show_features(self) -> None:
        if self._features_job is not None and self._features_job.running:
            return
        scan = self.session.scan
        if scan is None or scan.features is None:
            status = ""
        else:
            status = f"Ready: {Path(scan.model).name}"
            status += "" if scan.model == self.session.model else " (another model is chosen)"
        self.feature_panel.show_idle(status, scan=scan is not None, features=bool(scan and scan.features))

    def _features_done(self, scan: "Scan") -> None:
        self._show_features()
        if scan is self.session.scan and scan.features is not None:
            self.similar_panel.pick.setChecked(True)
            self.feature_panel.show_pca(True)
            self._want_pca(True)

    def _show_pca(self, scan: "Scan | None" = None) -> None:
        layer = self.binding.layer("pca")
        self.feature_panel.show_pca(layer is not None and layer.visible)

    def _show_similar(self, scan: "Scan | None" = None) -> None:
        scan, heat = self.session.scan, self.session.heat
        can_undo = bool(scan and scan.clicks.can_undo)
        self.similar_panel.show_clicks(self.session.clicks, can_undo, self.session.features is not None)
        self.similar_panel.show_regions(heat.regions if heat else ())
        self._show_share(self.session.share)

    def _show_share(self, share: float) -> None:
        self.similar_panel.show_share(share, self.session.threshold)

    def _show_segment(self, scan: "Scan | None" = None) -> None:
        self.segment_panel.show_state(
            features=self.session.features is not None,
            strokes=self.binding.layer("strokes") is not None,
            segmentation=self.session.segmentation is not None,
        )

    def _show_model(self, model: str) -> None:
        self.feature_panel.show_model(model)
        self._show_features()

    def _job_started(self, job: Job) -> None:
        if job.lane.startswith("features"):
            self._features_job = job
            self.feature_panel.show_progress(job.progress)
            job.progressed.connect(self.feature_panel.show_progress)
            job.finished.connect(self._show_features)

    def _explain(self, text: str) -> None:
        notifications.show_info(text)

    def _saved(self, path: Path) -> None:
        notifications.show_info(f"Saved {path}")

    def show_error(self, error: Exception) -> None:
        """One line for what the user can mend; the whole story, on request, for what they cannot."""
        if isinstance(error, CoralBayError):
            notifications.show_error(str(error))
        else:
            _log.error("a job failed", exc_info=error)
            notifications.notification_manager.receive_error(type(error), error, error.__traceback__)

    def _let_go(self, viewer: "napari.Viewer") -> Callable[..., None]:
        """What to do once Qt has deleted the widget; must not need the widget."""
        session, binding, pick_tool, show_view = self.session, self.binding, self.pick_tool, self._show_view

        def let_go(*_: Any) -> None:
            session.close()
            binding.close()
            pick_tool.close()
            for event in (viewer.dims.events.ndisplay, viewer.dims.events.order):
                with suppress(ValueError):
                    event.disconnect(show_view)

        return let_go
