"""The two other planes and a projection beside the main canvas: two by two, all planes at the same position."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from ..display.napari_world import world_from_napari
from ..model.one_move import OneMove
from . import views
from .delayed_call import call_later
from .docks import Docked
from .key_forwarding import KeyForwarding
from .layer_removal import remove_layers
from .linked_layers import TwinView, mark
from .plane_painting import PlanePainting
from .view_grid import ViewGrid

if TYPE_CHECKING:
    from .context import Context

_LEAST_PX = 220
# If a plane is not drawn, as in a window that is hidden.
_AT_LATEST_MS = 5000
_IN_3D = ("ct", "heat", "segmentation", "regions", "clicks")
_SLICES = (views.AXIAL, views.CORONAL, views.SAGITTAL)


class OrthogonalViews(Docked):
    """Canvases with the planes that the main canvas does not show, and with a projection.

    A click in any plane moves all. A double click enlarges a canvas, and another one shows all again.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: "Context") -> None:
        super().__init__(context)
        self._moving = OneMove()
        self._cross: Any = None
        self._adding_cross = False
        # The layer list must not be changed while it emits a change.
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.timeout.connect(self._settle_cross)
        self.planes = [TwinView(view) for view in self._others()]
        self.volume: TwinView | None = None
        self.grid = ViewGrid(self, self.planes, context)
        for plane in self.planes:
            context.tools.share_with(plane.tools)
        self._painting = PlanePainting(context, self.planes)
        self.setMinimumHeight(_LEAST_PX)
        layers, dims = context.viewer.layers, context.viewer.dims
        self._links = [
            (layers.events.inserted, self._show_layers),
            (layers.events.removed, self._show_layers),
            (layers.events.reordered, self._show_layers),
            (dims.events.point, self._follow_main),
            (dims.events.order, self._turn),
            (dims.events.ndisplay, self._turn),
            (context.session.scan_changed, self._fit),
        ]
        self._links += [(plane.model.dims.events.point, self._follow_plane(plane)) for plane in self.planes]
        context.connect(*self._links)
        self._show_layers()
        self._awaited = set(self.planes)
        for plane in self.planes:
            native = plane.open().canvas.native
            native.frameSwapped.connect(partial(self._drawn, plane))
            KeyForwarding(context.viewer, native)
        call_later(self, _AT_LATEST_MS, self._show_volume)

    def _drawn(self, plane: TwinView) -> None:
        """Add the projection once the planes are seen: its first picture takes longer than theirs."""
        if self._awaited:
            self._awaited.discard(plane)
            if not self._awaited:
                call_later(self, 0, self._show_volume)

    def _show_volume(self) -> None:
        if self.planes and self.volume is None:
            self.volume = TwinView(views.VOLUME)
            canvas = self.volume.open().canvas  # napari sets the depth of its camera when layers come
            KeyForwarding(self._context.viewer, canvas.native)
            self._context.tools.share_with(self.volume.tools)
            self.grid.add(self.volume)
            self._show_layers()

    def _others(self) -> list[str]:
        shown = views.current_view(self._context.viewer)
        return [view for view in _SLICES if view != shown][:2]

    def _show_layers(self, event: Any = None) -> None:
        if self._adding_cross:
            return
        with self._moving:
            for plane in self.planes:
                plane.show_layers(layer for layer in self._context.viewer.layers if layer is not self._cross)
            if self.volume is not None:
                shown = (self._context.binding.layer(role) for role in _IN_3D)
                self.volume.show_layers(layer for layer in shown if layer in self._context.viewer.layers)
        self._painting.update()
        self._follow_main()

    def _fit(self, scan: Any) -> None:
        with self._moving:
            for plane in (*self.planes, *([self.volume] if self.volume else ())):
                plane.fit()

    def _turn(self, event: Any = None) -> None:
        with self._moving:
            for plane, view in zip(self.planes, self._others(), strict=True):
                if plane.view != view:
                    plane.view = view
        self._follow_main()

    def _follow_main(self, event: Any = None) -> None:
        place = views.place_of(self._context.viewer)
        if self._moving or len(place) != 3:
            return
        with self._moving:
            self._mark_main(place)
            for plane in self.planes:
                plane.go_to(world_from_napari(place))

    def _mark_main(self, place: Any) -> None:
        layers = self._context.viewer.layers
        if self._has_layers() == (self._cross is None):
            self._settled.start()
        elif self._cross in layers:  # whoever deletes it does not want it
            mark(self._context.viewer, self._cross, place)

    def _has_layers(self) -> bool:
        return any(layer is not self._cross for layer in self._context.viewer.layers)

    def _settle_cross(self) -> None:
        """Show the crosshair if there are layers, else remove it."""
        if not self.planes:  # released
            return
        viewer = self._context.viewer
        with self._moving:
            if not self._has_layers():
                remove_layers(viewer, [self._cross])
                self._cross = None
            elif self._cross is None and viewer.dims.ndim >= len(_SLICES):
                selected = viewer.layers.selection.active
                self._adding_cross = True  # no other canvas shows it: each has one of its own
                try:
                    self._cross = mark(viewer, None, views.place_of(viewer))
                finally:
                    self._adding_cross = False
                viewer.layers.selection.active = selected

    def _follow_plane(self, plane: TwinView) -> Callable[..., None]:
        def follow(event: Any = None) -> None:
            place = views.place_of(plane.model)
            if not self._moving and len(place) == 3:
                views.go_to(self._context.viewer, place)

        return follow

    def release(self) -> None:
        """Disconnect from the main canvas."""
        self._context.disconnect(*self._links)
        self._painting.close()
        self.grid.close()
        for plane in (*self.planes, *([self.volume] if self.volume else ())):
            plane.release()
        self.planes, self.volume = [], None
        remove_layers(self._context.viewer, [self._cross])
