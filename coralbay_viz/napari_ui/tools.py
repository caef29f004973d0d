"""Mouse tools on the canvas: pick, set the gray scale, move the crosshair."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ..display.napari_world import world_from_napari
from .navigation import CanvasNavigation

if TYPE_CHECKING:
    import napari

Mode = Literal["look", "pick", "window"]

_STILL_PX = 4
_LEFT, _RIGHT = 1, 2
_NEGATIVE_KEYS = {"Shift", "Alt"}  # window managers keep Alt-click for themselves, so Shift does the same


class MouseTools:
    """Mouse tools, one mode at a time; drags are left to napari, except for the gray scale.

    In ``look`` a click moves the crosshair, in ``window`` a drag sets level (up and down) and width (left and right).
    In ``pick`` a click is positive or negative, as `negative` says; with Shift, Alt or the right button it is negative.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    """

    mode_changed = Signal(str)
    negative_changed = Signal(bool)
    placed = Signal(object)  # world mm
    picked = Signal(object, bool)  # world mm, negative
    looked = Signal(object, object, bool)  # a click in 3-D: origin and direction, world mm, and negative
    hovered = Signal(object)  # world mm
    dragged = Signal(float, float)  # change of level and of width, in shares of the canvas

    def __init__(self, viewer: "napari.Viewer") -> None:
        self._viewer = viewer
        self._mode: Mode = "look"
        self._negative = False
        self.navigation = CanvasNavigation(viewer)
        self.navigation.dragged.connect(partial(_emit, self.dragged))
        self._callbacks = (
            (viewer.mouse_drag_callbacks, self._on_press),
            (viewer.mouse_move_callbacks, self._on_move),
        )
        for callbacks, callback in self._callbacks:
            callbacks.append(callback)

    def close(self) -> None:
        """Disconnect from the viewer."""
        self.navigation.close()
        for callbacks, callback in self._callbacks:
            if callback in callbacks:
                callbacks.remove(callback)
        self._viewer.scene.camera.mouse_pan = True

    @property
    def mode(self) -> Mode:
        """Current mode."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode != self._mode:
            self._mode = mode
            # napari would pan under a drag that is not meant for it.
            self._viewer.scene.camera.mouse_pan = mode != "window"
            self.mode_changed.emit(mode)

    @property
    def negative(self) -> bool:
        """Whether a click without a modifier is negative."""
        return self._negative

    @negative.setter
    def negative(self, negative: bool) -> None:
        if negative != self._negative:
            self._negative = negative
            self.negative_changed.emit(negative)

    def share_with(self, other: "MouseTools") -> None:
        """Share mode and signals with the tools of another canvas."""
        self.share_mode(other)
        for name in ("placed", "picked", "looked", "hovered", "dragged"):
            getattr(other, name).connect(partial(_emit, getattr(self, name)))

    def share_mode(self, other: "MouseTools") -> None:
        """Share the mode alone with the tools of a canvas of another scan."""
        other.mode, other.negative = self._mode, self._negative
        self.mode_changed.connect(other._take_mode)  # psygnal forgets a method with its object
        self.negative_changed.connect(other._take_negative)

    @contextmanager
    def held(self, mode: Mode) -> Iterator[None]:
        """Set another mode while a key is down."""
        before, self.mode = self.mode, mode
        try:
            yield
        finally:
            self.mode = before

    def _take_mode(self, mode: Mode) -> None:
        self.mode = mode

    def _take_negative(self, negative: bool) -> None:
        self.negative = negative

    def _on_move(self, viewer: Any, event: Any) -> None:
        if viewer.dims.ndisplay == 2 and len(event.position) >= 3:  # without layers napari's world has two dimensions
            self.hovered.emit(world_from_napari(np.array(event.position[-3:], float)))

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if event.button not in (_LEFT, _RIGHT) or len(event.position) < 3:
            return
        if event.button == _RIGHT and self._mode != "pick":
            return
        if self._mode == "window":
            yield from self._drag_window(event)
            return
        start = np.array(event.pos, float)
        position = np.array(event.position[-3:], float)
        direction = None if event.view_direction is None else np.array(event.view_direction[-3:], float)
        negative = self._negative or event.button == _RIGHT or bool(_NEGATIVE_KEYS & set(event.modifiers))
        paints = _paints(viewer)
        yield
        while event.type == "mouse_move":
            if np.abs(np.array(event.pos, float) - start).max() > _STILL_PX:
                return
            yield
        if not paints:
            self._report(position, direction, negative)

    def _report(self, position: NDArray, direction: NDArray | None, negative: bool) -> None:
        place = world_from_napari(position)
        if self._viewer.dims.ndisplay == 3:
            if self._mode == "pick" and direction is not None:
                self.looked.emit(place, world_from_napari(position + direction) - place, negative)
        elif self._mode == "pick":
            self.picked.emit(place, negative)
        else:
            self.placed.emit(place)

    def _drag_window(self, event: Any) -> Generator[None, None, None]:
        last = np.array(event.pos, float)
        size = np.array(self._viewer.canvas.size[::-1], float)
        yield
        while event.type == "mouse_move":
            now = np.array(event.pos, float)
            across, down = (now - last) / size
            last = now
            self.dragged.emit(-down, across)
            yield


def _paints(viewer: Any) -> bool:
    """Whether a press belongs to the selected layer: a stroke is no click."""
    layer = viewer.layers.selection.active
    return layer is not None and str(getattr(layer, "mode", "pan_zoom")) not in ("pan_zoom", "transform")


def _emit(signal: Any, *values: Any) -> None:
    # psygnal takes whatever is called `emit` for Qt's, and calls it to see what it wants.
    signal.emit(*values)
