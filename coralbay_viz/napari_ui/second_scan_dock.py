"""Dock with a second scan, at the matching position."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QVBoxLayout

from ..display.napari_world import world_from_napari
from ..model.one_move import OneMove
from ..model.scan import title_beside
from . import views
from .docks import Docked
from .key_forwarding import KeyForwarding
from .linked_layers import TwinView
from .panels.base import button
from .picking import Picking
from .plane_painting import PlanePainting

if TYPE_CHECKING:
    from ..model.scan import Scan
    from .context import Context

_SHOWN = ("ct", "heat", "segmentation", "strokes", "regions", "clicks")


class ScanBeside(Docked):
    """Layers of a second open scan, with planes, a slider and strokes of its own.

    It shows the plane of the main canvas until another one is chosen here, and again once both are the same. Its
    crosshair follows that of the main canvas and, by a click or by turning through slices, leads it, while both are
    linked.

    Parameters
    ----------
    context : Context
    scan : Scan
    """

    def __init__(self, context: "Context", scan: "Scan") -> None:
        super().__init__(context)
        shown = views.current_view(context.viewer) or views.AXIAL
        self.view = TwinView(shown, follows_visibility=False)
        self._follows_plane = True
        self.title = QLabel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._heading())
        row = QHBoxLayout()
        row.addWidget(self.view)
        column.addLayout(row)
        self.setMinimumHeight(260)
        self._moving = OneMove()
        session = context.session
        self._links = [
            (session.heat_changed, self._changed),
            (session.segmentation_changed, self._changed),
            (session.strokes_changed, self._changed),
            (session.marked_changed, self._changed),
            (session.clicks_changed, self._changed),
            (session.match_changed, self._matched),
            (context.viewer.dims.events.order, self._turn),
            (context.viewer.dims.events.ndisplay, self._turn),
            (context.painting.changed, self._arm),
            (self.view.tools.dragged, self._drag_window),
            (self.view.tools.placed, context.notify_errors(self._placed)),
            (self.view.model.dims.events.point, context.notify_errors(self._turned_through)),
        ]
        context.connect(*self._links)
        self._painting = PlanePainting(context, [self.view], lambda: self.scan)
        context.tools.share_mode(self.view.tools)
        self._picking = Picking(context, self.view.tools, lambda: self.scan)
        self.show_scan(scan)
        KeyForwarding(context.viewer, self.view.open(sliders=True).canvas.native)

    def _heading(self) -> QHBoxLayout:
        """Title and buttons of the planes."""
        self.planes = QButtonGroup(self)
        line = QHBoxLayout()
        line.addWidget(self.title, stretch=1)
        for number, name in enumerate(views.VIEWS):
            made = button(name, f"{name} view of this scan", checkable=True)
            made.setChecked(name == self.view.view)
            self.planes.addButton(made, number)
            line.addWidget(made)
        self.planes.idClicked.connect(lambda number: self._choose(views.VIEWS[number]))
        return line

    def show_scan(self, scan: "Scan") -> None:
        """Show a scan."""
        self.scan = scan
        self._changed()
        self.go_to(scan.volume.grid.to_world([n // 2 for n in scan.volume.shape]))
        self._matched(scan)
        self._arm()

    def _choose(self, view: str) -> None:
        """Show another plane than the main canvas, or follow it again."""
        self._follows_plane = view == views.current_view(self._context.viewer)
        self._show_plane(view)

    def _show_plane(self, view: str) -> None:
        self.planes.button(views.VIEWS.index(view)).setChecked(True)
        if view != self.view.view:
            with self._moving:
                self.view.view = view

    def _arm(self, _: Any = None) -> None:
        """Paint here with the tool of the main canvas: strokes of this scan."""
        painting = self._context.painting
        if painting.tool is not None and self.scan in self._context.session.scans:
            painting.layer_for(self.scan)
            self._changed()
        self._painting.update()

    def _drag_window(self, level: float, width: float) -> None:
        self._context.binding.adjust_window(level, width, self.scan)

    def _changed(self, scan: "Scan | None" = None) -> None:
        if scan is None or scan is self.scan:
            layers = [self._context.binding.laid_out(role, self.scan) for role in _SHOWN]
            with self._moving:
                self.view.show_layers(layer for layer in layers if layer is not None)
            scans = self._context.session.scans
            if self.scan in scans:
                self.title.setText(title_beside(scans, self.scan))

    def _matched(self, scan: "Scan") -> None:
        if scan is self.scan and scan.matched is not None:
            self.go_to(scan.matched.position_mm)

    def _turn(self, event: Any = None) -> None:
        view = views.current_view(self._context.viewer)
        if view is not None and self._follows_plane:
            self._show_plane(view)
        elif view == self.view.view:
            self._follows_plane = True

    def _placed(self, position_mm: Any) -> None:
        self.go_to(position_mm)
        self._lead(position_mm)

    def _turned_through(self, event: Any = None) -> None:
        place = views.place_of(self.view.model)
        if not self._moving and len(place) == 3:
            self._lead(world_from_napari(place))

    def _lead(self, position_mm: Any) -> None:
        """Take the linked crosshair of the main canvas along."""
        if self._context.session.linked is self.scan:
            self._context.session.linked_cursor_mm = position_mm

    def go_to(self, position_mm: Any) -> None:
        """Show a place of the second scan."""
        with self._moving:
            self.view.go_to(position_mm)

    def release(self) -> None:
        """Disconnect from session and viewer."""
        self._context.disconnect(*self._links)
        self._painting.close()
        self._picking.close()
        self.view.release()
