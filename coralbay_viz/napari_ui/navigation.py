"""Mouse on a canvas whatever the tool: right drag for level and width, wheel for slices, double click to enlarge."""

from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from . import views

if TYPE_CHECKING:
    from napari.components import ViewerModel

_RIGHT = 2
_STILL_PX = 4
_ZOOM = 1.15  # per step of the wheel
_PAN = "pan_zoom"


class CanvasNavigation:
    """Navigation in scans; over canvases without a scan the mouse is napari's.

    A right drag is left alone until it moves: a right click belongs to the tools. The wheel moves through the slices,
    with Control it zooms about the pointer.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    """

    dragged = Signal(float, float)  # change of level and of width, in shares of the canvas
    pressed = Signal()  # any button; a double click begins with a click
    double_clicked = Signal()  # only while `enlarges` is set

    def __init__(self, viewer: "ViewerModel") -> None:
        from napari.components import _viewer_mouse_bindings as own

        self._viewer = viewer
        self.enlarges = False
        self._steps = 0.0  # of the wheel, less than one slice
        self._scroll, self._zoom_in = own.dims_scroll, own.double_click_to_zoom
        self._callbacks = (
            (viewer.mouse_drag_callbacks, self._on_press),
            (viewer.mouse_wheel_callbacks, self._on_wheel),
            (viewer.mouse_double_click_callbacks, self._on_double_click),
        )
        for callbacks, callback in self._callbacks:
            callbacks.append(callback)
        # Called from here where they are wanted.
        self._replaced = (
            (viewer.mouse_wheel_callbacks, self._scroll),
            (viewer.mouse_double_click_callbacks, self._zoom_in),
        )
        for callbacks, callback in self._replaced:
            with suppress(ValueError):
                callbacks.remove(callback)

    def close(self) -> None:
        """Give the mouse back to napari."""
        for callbacks, callback in self._callbacks:
            with suppress(ValueError):
                callbacks.remove(callback)
        for callbacks, callback in self._replaced:
            callbacks.append(callback)

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        self.pressed.emit()
        if event.button != _RIGHT or not views.has_scan(viewer):
            return
        event.handled = True  # napari zooms with this button
        start = last = np.array(event.pos, float)
        size = np.array(self._viewer.canvas.size[::-1], float)
        layer = viewer.layers.selection.active
        tool = str(getattr(layer, "mode", _PAN))
        if tool != _PAN:  # napari paints with this button, too
            layer.mode = _PAN
        yield
        moved = False
        while event.type == "mouse_move":
            event.handled = True
            now = np.array(event.pos, float)
            moved = moved or np.abs(now - start).max() > _STILL_PX
            if moved:
                across, down = (now - last) / size
                last = now
                self.dragged.emit(-down, across)
            yield
        if tool != _PAN:
            layer.mode = tool

    def _on_wheel(self, viewer: Any, event: Any) -> None:
        if not views.has_scan(viewer) or viewer.dims.ndim < 3:
            self._scroll(viewer, event)
        elif "Control" in event.modifiers:
            event.handled = True
            self._zoom(event, _ZOOM ** np.clip(event.delta[1], -1, 1))
        elif not event.modifiers and viewer.dims.ndisplay == 2:
            event.handled = True
            self._turn(float(np.clip(event.delta[1], -1, 1)))

    def _turn(self, delta: float) -> None:
        """Go on by a slice per step of the wheel; downwards is towards the feet, the back and the left."""
        dims = self._viewer.dims
        axis = dims.order[-3]
        is_superior = axis == dims.ndim - 3
        self._steps += delta if is_superior else -delta
        whole = int(self._steps)
        self._steps -= whole
        if whole:
            dims.set_current_step(axis, dims.current_step[axis] + whole)

    def _zoom(self, event: Any, factor: float) -> None:
        """Zoom about the pointer."""
        camera = self._viewer.scene.camera
        displayed = list(self._viewer.dims.displayed)
        center = np.asarray(camera.center)[-len(displayed) :]
        fixed = np.asarray(event.position)[displayed]
        camera.zoom *= factor
        camera.center = tuple(center + (fixed - center) * (1 - 1 / factor))

    def _on_double_click(self, viewer: Any, event: Any) -> None:
        layer = viewer.layers.selection.active
        if str(getattr(layer, "mode", _PAN)) != _PAN:
            return  # it ends a polygon
        if self.enlarges:
            self.double_clicked.emit()
        else:
            self._zoom_in(viewer, event)
