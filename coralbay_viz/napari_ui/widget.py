"""The CoralBay dock widget: creates the panels and connects them."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from ..display.napari_world import world_from_napari
from ..jobs import ThreadRunner
from ..model.one_move import OneMove
from ..session import Session
from . import actions, shader_texts, views
from .binding import Binding
from .black_canvas import BlackCanvas
from .context import Context
from .dispatcher import MainThreadDispatcher
from .display_check import require_napari
from .docks import Dock
from .panels.base import PanelBase, when_clicked
from .panels.colors import ColorsPanel
from .panels.compare import ComparePanel
from .panels.features import FeaturePanel
from .panels.image_layers import ImageLayers
from .panels.library import LibraryPanel
from .panels.scan import ScanPanel
from .panels.scorecard import ScorecardPanel
from .panels.segment import SegmentPanel
from .panels.show import ShowSwitch
from .panels.similar import SimilarPanel
from .panels.training import TrainingPanel
from .panels.welcome import OpeningBar, WelcomePanel
from .planes import OrthogonalViews
from .readout import Letters, Readout
from .showing import Showing
from .tools import MouseTools

if TYPE_CHECKING:
    import napari

    from ..model.scan import Scan

_NEAR_MM = 0.01
_LEAST_PX, _WIDTH_PX = 320, 420  # of the dock: the second shows all tabs
_SAY_AGAIN_S = 3.0
_STYLE = """
#coralbay_heading {font-size: 13px;}
#coralbay_note {font-size: 11px;}
#coralbay_switch QPushButton {padding: 4px 2px;}
QHeaderView::section {background-color: transparent; border: 0; padding: 1px 4px;}
"""


def threaded_session(**settings: Any) -> Session:
    """Create a session that works on threads and emits signals on this thread, the GUI's."""
    courier = MainThreadDispatcher()
    session = Session(ThreadRunner(courier.deliver), **settings)
    session.scope = "here"  # who clicks in a window means what lies under the pointer
    session.reads_cached = True
    return session


class CoralBayWidget(QWidget):
    """The CoralBay dock widget of napari.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    session : Session, optional
        By default a new one that works on threads and can be recovered after a crash.
    """

    _docked = False

    def __init__(self, napari_viewer: "napari.Viewer", session: Session | None = None) -> None:
        require_napari()
        shader_texts.remember()
        super().__init__()
        self.viewer = napari_viewer
        self._moving = OneMove()
        self._said_at = -_SAY_AGAIN_S
        self._place: Any = None  # of the slices, world mm
        self.session = session or threaded_session(autosave=True)
        # First the layers, then the panels: those ask the binding which layers there are.
        self.binding = Binding(napari_viewer, self.session)
        self.tools = MouseTools(napari_viewer)
        self.context = Context(napari_viewer, self.session, self.binding, self.tools)
        for closer in (self.session.close, self.binding.close, self.tools.close):
            self.context.at_end(closer)
        self.context.at_end(partial(actions.forget, napari_viewer))
        self.showing = Showing(self.context)
        self._annotate_canvas()
        self._lay_out()
        self._connect()
        # Qt deletes the widget when its dock is closed; Python may keep the object long after.
        self.destroyed.connect(partial(_close, self.context))
        actions.register(napari_viewer, self)
        self.binding.adopt_layers()
        self._show_scan(self.session.scan)
        self._offer_lost()

    def open(self, path: str | Path) -> None:
        """Open a scan as if the user had chosen it."""
        self.scan_panel.open(path)

    def event(self, event: QEvent) -> bool:
        """Leave the layers of all scans to the user who closes the dock: napari then removes the widget from it."""
        handled = super().event(event)
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self.binding.list_all()
        return handled

    def sizeHint(self) -> QSize:
        """Return the size at first, also while few panels are shown."""
        return QSize(_WIDTH_PX, super().sizeHint().height())

    def _offer_lost(self) -> None:
        lost = self.session.lost()
        if lost:
            scans = ", ".join(lost[0].scans)
            self.context.notify(f"Unsaved work found: {scans}. To restore it: Session > Recover a lost session.")

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front."""
        for number in range(self.tabs.count()):
            if self.tabs.tabText(number) == name:
                self.tabs.setCurrentIndex(number)

    def _lay_out(self) -> None:
        self.show_switch = ShowSwitch(self.context, self.showing)
        self.scan_panel = ScanPanel(self.context)
        self.feature_panel = FeaturePanel(self.context)
        self.similar_panel = SimilarPanel(self.context)
        self.colors_panel = ColorsPanel(self.context)
        self.segment_panel = SegmentPanel(self.context)
        self.compare_panel = ComparePanel(self.context)
        self.library_panel = LibraryPanel(self.context)
        self.scorecard_panel = ScorecardPanel(self.context)
        self.training_panel = TrainingPanel(self.context)
        self.welcome = WelcomePanel(self.context, self.scan_panel)
        self.image_layers = ImageLayers(self.context, self.open)
        self.opening = OpeningBar(self.context)
        self.tabs = QTabWidget()
        for name, panel in (
            ("Similar", self.similar_panel),
            ("Colors", self.colors_panel),
            ("Segment", self.segment_panel),
            ("Compare", self.compare_panel),
            ("Library", self.library_panel),
            ("Score", self.scorecard_panel),
            ("Train", self.training_panel),
        ):
            self.tabs.addTab(_scrolled(panel), name)
        outer = QVBoxLayout(self)
        upper = self.welcome, self.image_layers, self.opening, self.show_switch, self.scan_panel, self.feature_panel
        for widget in upper:
            outer.addWidget(widget)
        outer.addWidget(self.tabs, stretch=1)
        self.setStyleSheet(_STYLE)
        self.setMinimumWidth(_LEAST_PX)

        self.planes = Dock(
            self.context,
            self,
            "Planes",
            "bottom",
            partial(OrthogonalViews, self.context),
            self.scan_panel.orthogonal.setChecked,
        )
        when_clicked(self.scan_panel.orthogonal, self.planes.open)

    def _annotate_canvas(self) -> None:
        self.letters = Letters(self.viewer)
        self.readout = Readout(self.viewer, self.session)
        self.black_canvas = BlackCanvas(self.viewer)
        for closer in (self.letters.close, self.readout.close, self.black_canvas.close):
            self.context.at_end(closer)

    def _connect(self) -> None:
        session, viewer = self.session, self.viewer
        self.context.connect(
            (session.job_started, self._opening),
            (session.scan_added, self._warm_up),
            (session.scan_added, self._take_clicks),
            (self.binding.activated, self._show_scan),
            (session.features_changed, self._features_done),
            (session.pca_changed, self.binding.lay_out_clicks),
            (session.saved, lambda path: self.context.notify(f"Saved {path}")),
            (session.failed, self.context.show_error),
            (session.clicks_changed, self._clicked_early),
            (self.binding.put_back, self._put_back),
            (self.tools.hovered, self.readout.show),
            (self.tools.placed, self.binding.go_to),
            (session.cursor_changed, self._cursor_moved),
            (viewer.dims.events.point, self._point_moved),
            (viewer.dims.events.point, self.readout.follow),
            (viewer.dims.events.ndisplay, self._dims_changed),
            (viewer.dims.events.order, self._dims_changed),
        )

    def _dims_changed(self, event: Any = None) -> None:
        self.letters.update()
        self.readout.hide()

    def _point_moved(self, event: Any = None) -> None:
        """Set the session's cursor to the displayed slices."""
        place = views.place_of(self.viewer)
        if self.session.scan is None or len(place) != 3 or self.binding.busy:
            return  # napari moves the slices while the layers of another scan come
        self._place = world_from_napari(place)
        if not self._moving:
            with self._moving:
                self.session.cursor_mm = self._place

    def _cursor_moved(self, position_mm: Any) -> None:
        """Move the slices to a cursor that was set in code."""
        place = views.place_of(self.viewer)
        if self._moving or position_mm is None or len(place) < 3:
            return
        if np.abs(world_from_napari(place) - position_mm).max() > _NEAR_MM:
            with self._moving:
                self.binding.go_to(position_mm)

    def _put_back(self, layer: Any) -> None:
        """Say that a layer was put back: once for the many steps of a drag."""
        now = time.monotonic()
        if now - self._said_at > _SAY_AGAIN_S:
            self.context.warn(
                f"{layer.name} is back in its place: the layers of a scan stay where the patient is, as prompts, "
                "results and files refer to it. To look from elsewhere, turn or pan the camera."
            )
        self._said_at = now

    def _opening(self, job: Any) -> None:
        if job.kind in ("open", "load session"):
            self._warm_up()

    def _warm_up(self, _: Any = None) -> None:
        """Import slow modules while the first scan is read; imports at the first click would block the window."""
        self.context.disconnect((self.session.job_started, self._opening), (self.session.scan_added, self._warm_up))
        self.session.run("warm up", _load_libraries, lambda _: None)

    def _take_clicks(self, scan: "Scan") -> None:
        """Let a click before there are features be answered when they are there."""
        self.context.disconnect((self.session.scan_added, self._take_clicks))
        self.tools.mode = "pick"

    def _show_scan(self, scan: "Scan | None") -> None:
        """Show a scan at its own place: two scanners count from different points, so coordinates tell little."""
        self._show_parts(scan)
        if scan is not None and len(views.place_of(self.viewer)) == 3:
            self.binding.go_to(self._place_in(scan))
            self._point_moved()
        self._dims_changed()

    def _place_in(self, scan: "Scan") -> Any:
        """Place that corresponds to the crosshair that was linked, last place of a scan, or its middle."""
        if scan is self.session.linked and scan.matched is not None:
            return scan.matched.position_mm
        if scan.cursor_mm is not None:
            return scan.cursor_mm
        only = len(self.session.scans) == 1 and self._place is not None
        return self._place if only and scan.volume.grid.contains(self._place) else scan.volume.grid.center_mm

    def _show_parts(self, scan: "Scan | None") -> None:
        """Show how to begin, or the panels of a scan."""
        self.welcome.setVisible(scan is None)
        for panel in (self.scan_panel, self.feature_panel):
            panel.setVisible(scan is not None)

    def _clicked_early(self, scan: "Scan") -> None:
        """Say that a click is kept until there are features."""
        clicks = scan.clicks.now
        first = len(clicks.positive) + len(clicks.negative) == 1
        if first and scan.features is None and scan.preview is None and scan.restoring is None:
            computing = self.session.state_of(scan) == "computing"
            self.context.notify(
                f"Prompt kept until features are computed{'.' if computing else ': press Compute features.'}"
            )

    def _features_done(self, scan: "Scan") -> None:
        if scan is self.session.scan and scan.features is not None:
            self.tools.mode = "pick"
            painted = scan.strokes.now is not None or scan.given_probe is not None
            if not (scan.clicks.now or scan.queries_in_use or painted):
                self.context.notify_errors(self.colors_panel.want_pca)(True)


def _load_libraries(*_: Any) -> None:
    import pandas  # noqa: F401  # napari keeps features of points in its tables

    from coralbay_core import similarity  # noqa: F401
    from coralbay_core.extraction import pipeline  # noqa: F401


def _close(context: Context, *_: Any) -> None:
    """Close the context once Qt has deleted the widget."""
    context.close()


def _scrolled(panel: PanelBase) -> QScrollArea:
    panel.rows.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(panel)
    return scroll
