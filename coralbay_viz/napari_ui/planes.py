"""The other two planes beside the main canvas, all three at one place of the patient."""

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QWidget

from ..layers import world_from_napari
from . import views
from .twins import TwinView

if TYPE_CHECKING:
    from .context import Context

_SLICES = (views.AXIAL, views.CORONAL, views.SAGITTAL)


class OrthogonalViews(QWidget):
    """Two canvases with the planes that the main one does not show; a click in any of them moves all.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: "Context") -> None:
        super().__init__()
        self._context = context
        self._moving = False
        self.planes = [TwinView(view) for view in self._others()]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for plane in self.planes:
            row.addWidget(plane)
            context.tools.share_with(plane.tools)
        self.setMinimumHeight(220)
        layers, dims = context.viewer.layers, context.viewer.dims
        self._links = [
            (layers.events.inserted, self._show_layers),
            (layers.events.removed, self._show_layers),
            (layers.events.reordered, self._show_layers),
            (dims.events.point, self._follow_main),
            (dims.events.order, self._turn),
            (dims.events.ndisplay, self._turn),
        ]
        self._links += [(plane.model.dims.events.point, self._follow_plane(plane)) for plane in self.planes]
        context.connect(*self._links)
        context.at_end(self.shut)
        self._show_layers()
        self._follow_main()

    def _others(self) -> list[str]:
        shown = views.current_view(self._context.viewer)
        return [view for view in _SLICES if view != shown][:2]

    def _show_layers(self, event: Any = None) -> None:
        for plane in self.planes:
            plane.show_layers(self._context.viewer.layers)

    def _turn(self, event: Any = None) -> None:
        for plane, view in zip(self.planes, self._others(), strict=True):
            if plane.view != view:
                plane.view = view

    def _follow_main(self, event: Any = None) -> None:
        self._move(np.array(self._context.viewer.dims.point))

    def _follow_plane(self, plane: TwinView) -> Any:
        def follow(event: Any = None) -> None:
            if not self._moving:
                self._context.viewer.dims.set_point((0, 1, 2), plane.model.dims.point[-3:])

        return follow

    def _move(self, place: Any) -> None:
        if self._moving or len(place) != 3:
            return
        self._moving = True
        try:
            for plane in self.planes:
                plane.go_to(world_from_napari(place))
        finally:
            self._moving = False

    def shut(self) -> None:
        """Let go of the main canvas; safe to call twice."""
        self._context.disconnect(*self._links)
        self._links = []
        for plane in self.planes:
            plane.shut()
        self.planes = []
