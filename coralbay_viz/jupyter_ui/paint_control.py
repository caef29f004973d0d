"""Controller of the panel Paint: strokes, segmentation and statistics."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coralbay_core.spatial import LabelVolume

from ..display import brush, slices
from ..display.layer_specs import BACKGROUND
from ..model.palette import UNDECIDED, class_color
from .control import Control
from .panels.paint import PaintPanel
from .views_control import ViewsControl

if TYPE_CHECKING:
    from ..model.scan import Scan
    from ..model.strokes import PaintedVoxels


class PaintControl(Control):
    """Controller of the brush and of the segmentation."""

    def __init__(self, views: ViewsControl, *wires: Any) -> None:
        super().__init__(*wires)
        session, self.views = self.session, views
        self.panel = panel = PaintPanel()
        self.on_request(views.view.stroked, self._stroked)
        self.on_request(views.view.undo_wanted, self._undo)
        self.on_request(panel.brush_changed, self._show_brush)
        self.on_request(panel.name_chosen, self._name)
        self.on_request(panel.undo_wanted, session.undo_strokes)
        self.on_request(panel.redo_wanted, session.redo_strokes)
        self.on_request(panel.segment_wanted, self._segment)
        self.on_request(panel.measure_wanted, session.compute_statistics)
        for signal in (session.scan_changed, session.features_changed, session.segmentation_changed):
            self.on_event(signal, self.show)
        self.on_event(session.strokes_changed, self.show)
        self.on_event(session.class_colors_changed, self._recolor)
        self.on_event(session.statistics_changed, self.show)

    def show(self, scan: "Scan | None" = None) -> None:
        """Update the panel."""
        active = self.session.scan
        history = active and active.strokes
        self.panel.show_state(
            classes=_classes(history.now) if history else 0,
            can_undo=bool(history and history.can_undo),
            can_redo=bool(history and history.can_redo),
            features=self.session.features is not None,
            segmentation=self.session.segmentation is not None,
            background=not history or not history.now or BACKGROUND in _painted_names(history.now),
        )
        self.panel.show_statistics(active.statistics if active else ())
        self._show_names()

    def _show_names(self) -> None:
        painted = self.session.scan and self.session.scan.strokes.now
        self.panel.show_names(dict(painted.names) if painted else {}, self.session.class_colors)

    def _show_brush(self) -> None:
        self.views.view.brush_mm = self.panel.radius.value
        background = self.panel.label.label == BACKGROUND
        colors = self.session.class_colors
        self.views.view.brush_color = UNDECIDED if background else class_color(self.panel.label.value, colors)
        self._show_names()

    def _recolor(self, scan: "Scan") -> None:
        self._show_brush()

    def _stroked(self, points_mm: Any, view: str) -> None:
        session, panel = self.session, self.panel
        labels = self._strokes()
        through = None if panel.ball.value else slices.VIEWS.index(view)
        value = 0 if self.views.view.tool == "erase" else panel.label.value
        if value and panel.label.label == BACKGROUND:
            labels = LabelVolume(labels.data, labels.grid, name="strokes", names=labels.names | {value: BACKGROUND})
        brush.paint(labels.data, labels.grid, points_mm, panel.radius.value, value, through)
        session.paint(labels)
        self.views.reveal("segmentation", "strokes")
        if panel.live.value and session.features is not None and _classes(session.scan.strokes.now) > 1:
            session.fit()

    def _undo(self) -> None:
        """Undo a stroke or a click, depending on the tool."""
        painting = self.views.view.tool in ("paint", "erase")
        (self.session.undo_strokes if painting else self.session.undo)()

    def _strokes(self) -> LabelVolume:
        """Return a copy of the strokes of the active scan."""
        scan = self.session.scan
        if scan.strokes.now is not None:
            return scan.strokes.now.labels
        return LabelVolume(np.zeros(scan.label_grid.shape, np.uint8), scan.label_grid, name="strokes", names={})

    def _name(self, name: str) -> None:
        labels = self._strokes()
        names = {**labels.names, self.panel.label.value: name}
        names = {value: text for value, text in names.items() if text}
        self.session.paint(LabelVolume(labels.data, labels.grid, name="strokes", names=names))

    def _segment(self) -> None:
        self.views.reveal_result(self.session.fit(), "segmentation")


def _painted_names(painted: "PaintedVoxels") -> list[str | None]:
    return [painted.names.get(value) for value in painted.classes]


def _classes(painted: "PaintedVoxels | None") -> int:
    return len(painted.classes) if painted is not None else 0
