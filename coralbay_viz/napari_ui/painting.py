"""Synchronization of strokes between napari's label layers and the session."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import LabelVolume
from coralbay_core.spatial.volume import labeled_voxels

from ..display import layer_specs
from ..display.layer_specs import BACKGROUND
from ..display.napari_world import world_from_napari
from ..model import palette
from . import views

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from ..jobs import Job
    from ..model.scan import Scan
    from ..session import Session
    from .binding import Binding

# napari signals undo and redo only as a redrawn slice, like each step through the slices: changes are looked up when
# these events have stopped.
_REST_MS = 60
# A stroke ends when its button is released, which no event reports: while it is held, this is how often to look.
_HELD_MS = 10
_BRUSH_VOXELS = 6
_FIRST_CLASSES = {1: BACKGROUND, 2: "structure"}
Tool = Literal["paint", "erase", "cut"]
_MODES: dict[Tool, str] = {"paint": "paint", "erase": "erase", "cut": "polygon"}


@dataclass(frozen=True)
class PaintedClass:
    """Class of strokes.

    Parameters
    ----------
    value : int
    name, color : str
    voxels : int
        Number of painted voxels.
    """

    value: int
    name: str
    color: str
    voxels: int


class Painting:
    """Strokes and their classes, one label layer per scan.

    Every change of the layer (brush, eraser, bucket, napari's own undo, a script) is passed to the session when it is
    complete and the mouse button is up. With `live` the session then fits a probe, once per change.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    binding : Binding
    """

    changed = Signal(object)  # Scan whose voxels or classes are others now

    def __init__(self, viewer: "napari.Viewer", session: "Session", binding: "Binding") -> None:
        self._viewer = viewer
        self._session = session
        self._binding = binding
        self.live = False
        self._handing_over = False
        self._closed = False
        self._known: WeakKeyDictionary[Scan, NDArray] = WeakKeyDictionary()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        session.strokes_changed.connect(self._on_strokes)
        session.class_colors_changed.connect(self._on_colors)
        viewer.layers.selection.events.active.connect(self._on_selection)

    def close(self) -> None:
        """Disconnect from the session; further changes of the layers do not reach it."""
        self._closed = True
        with suppress(RuntimeError):  # Qt may have deleted it before
            self._timer.stop()
        self._session.strokes_changed.disconnect(self._on_strokes)
        self._session.class_colors_changed.disconnect(self._on_colors)
        self._viewer.layers.selection.events.active.disconnect(self._on_selection)

    def _on_selection(self, _: Any = None) -> None:
        """The tool belongs to the selected layer."""
        if self._session.scan is not None:
            self.changed.emit(self._session.scan)

    # Classes

    def names(self) -> dict[int, str]:
        """Return the names of the active scan's classes by value."""
        layer, scan = self._binding.layer("strokes"), self._session.scan
        if layer is not None:
            return dict(layer.metadata["names"])
        now = scan.strokes.now if scan else None
        return {} if now is None else dict(now.names)

    def classes(self) -> tuple[PaintedClass, ...]:
        """Return the active scan's classes, sorted by value."""
        names, scan = self.names(), self._session.scan
        now = scan.strokes.now if scan else None
        counts = {} if now is None else dict(zip(*np.unique(now.values, return_counts=True), strict=True))
        colors = self._session.class_colors
        return tuple(
            PaintedClass(value, name, class_color(value, name, colors), int(counts.get(value, 0)))
            for value, name in sorted(names.items())
        )

    def add_class(self, name: str = "") -> int:
        """Add a class and select it for painting."""
        layer = self._ready()
        names = self.names()
        value = next(value for value in range(1, 256) if value not in names)
        self._set_names(layer, {**names, value: name or f"class {value}"})
        self.select(value)
        return value

    def rename(self, value: int, name: str) -> None:
        """Rename a class."""
        name = name.strip()
        if not name or self.names().get(value) == name:
            return
        layer = self._ready()
        self._set_names(layer, {**self.names(), value: name})

    def remove_class(self, value: int) -> None:
        """Remove a class and its strokes; `undo` restores it."""
        layer = self._ready()
        names = {other: name for other, name in self.names().items() if other != value}
        data = np.asarray(layer.data)
        if (data == value).any():
            layer.data = np.where(data == value, 0, data).astype(data.dtype)
        self._set_names(layer, names)
        if layer.selected_label == value and names:
            layer.selected_label = first_class(names)

    def select(self, value: int) -> None:
        """Select a class for painting and bring its layer to the front."""
        layer = self._in_front()
        layer.selected_label = value
        layer.mode = "paint"

    def take(self, tool: Tool) -> None:
        """Take a tool: the brush for the selected class, the eraser, or scissors that erase inside an outline."""
        layer = self._in_front()
        if tool == "cut":
            layer.selected_label = 0
        elif layer.selected_label not in self.names():
            layer.selected_label = first_class(self.names())
        layer.mode = _MODES[tool]

    def put_away(self) -> None:
        """Leave the mouse to panning and zooming."""
        layer = self._binding.layer("strokes")
        if layer is not None:
            layer.mode = "pan_zoom"

    @property
    def tool(self) -> Tool | None:
        """Tool that was taken, here or in napari's own controls."""
        layer = self._binding.layer("strokes")
        if layer is None or layer not in self._viewer.layers.selection:
            return None
        if str(layer.mode) == "polygon" and layer.selected_label != 0:
            return None  # napari's polygon of a class
        return next((tool for tool, mode in _MODES.items() if str(layer.mode) == mode), None)

    def _in_front(self) -> "Layer":
        layer = self._ready()
        self._binding.set_visible("strokes", True)
        self._viewer.layers.selection.active = layer
        return layer

    @property
    def selected(self) -> int | None:
        """Value of the class selected for painting."""
        layer = self._binding.layer("strokes")
        return None if layer is None else int(layer.selected_label)

    def add_mask(self, mask: LabelVolume, name: str) -> int:
        """Add the unpainted voxels of a mask as a new class."""
        layer = self._ready()
        grid = layer.metadata["grid"]
        if mask.grid != grid:
            from coralbay_core.projection import labels_on

            mask = labels_on(mask, grid)
        value = self.add_class(name)
        data = np.array(layer.data)
        data[(mask.data != 0) & (data == 0)] = value
        layer.data = data
        self.flush()
        return value

    def clear(self) -> None:
        """Remove all strokes and keep the classes; `undo` restores them."""
        layer = self._ready()
        layer.data = np.zeros_like(layer.data)
        self.flush()

    # Session commands

    def segment(self) -> "Job":
        """Fit a probe to the current strokes."""
        live, self.live = self.live, False
        try:
            self.flush()
        finally:
            self.live = live
        return self._fit()

    def undo(self) -> None:
        """Undo the last change of the strokes."""
        self.flush()
        self._session.undo_strokes()

    def redo(self) -> None:
        """Redo the last undone change; after a new stroke there is nothing to redo."""
        self.flush()
        self._session.redo_strokes()

    def flush(self) -> None:
        """Pass pending changes to the session."""
        self._timer.stop()
        self._look()

    # Layer -> session

    def _soon(self, event: Any = None) -> None:
        if self._closed:
            return
        self._timer.start(0 if event is not None and event.type in ("paint", "data") else _REST_MS)

    def _look(self) -> None:
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._timer.start(_HELD_MS)  # the stroke goes on
            return
        for scan in list(self._session.scans):
            layer = self._binding.layer("strokes", scan)
            if layer is None or layer.data.shape != layer.metadata["grid"].shape:
                continue  # somebody gave the layer an array that does not belong here
            if not np.array_equal(layer.data, self._known.get(scan)):
                self._hand_over(scan, layer)

    def _hand_over(self, scan: "Scan", layer: "Layer") -> None:
        data = np.asarray(layer.data)
        self._known[scan] = data.copy()
        names = dict(layer.metadata["names"])
        painted = np.unique(data.reshape(-1)[labeled_voxels(data)])
        new = [int(value) for value in painted if value not in names]
        if new:
            layer.metadata = {**layer.metadata, "names": names | {value: f"class {value}" for value in new}}
        self._send_strokes(scan, layer)

    def _send_strokes(self, scan: "Scan", layer: "Layer") -> None:
        strokes = LabelVolume(
            np.asarray(layer.data), layer.metadata["grid"], "strokes", names=dict(layer.metadata["names"])
        )
        self._handing_over = True
        try:
            self._session.paint(strokes, scan)
        finally:
            self._handing_over = False
        self.changed.emit(scan)
        wanted = self.live and scan is self._session.scan and scan.features is not None
        if wanted and len(scan.strokes.now.classes) > 1:
            self._fit()

    def _set_names(self, layer: "Layer", names: dict[int, str]) -> None:
        layer.metadata = {**layer.metadata, "names": names}
        scan = self._session.scan
        self._recolor(scan, layer)
        self._timer.stop()
        self._known[scan] = np.array(layer.data)
        self._send_strokes(scan, layer)

    def _recolor(self, scan: "Scan", layer: "Layer") -> None:
        names = layer.metadata["names"]
        colors = layer_specs.label_colors({*range(256), *names}, names, palette.UNDECIDED, scan.class_colors)
        self._binding.recolor(layer, colors)

    def _fit(self) -> "Job":
        job = self._session.fit(first_mm=world_from_napari(views.place_of(self._viewer)))
        self._binding.reveal("segmentation")
        return job

    # Session -> layer

    def _on_colors(self, scan: "Scan") -> None:
        layer = self._binding.layer("strokes", scan)
        if layer is not None:
            self._recolor(scan, layer)
        self.changed.emit(scan)

    def _on_strokes(self, scan: "Scan") -> None:
        if self._handing_over:
            return
        now, layer = scan.strokes.now, self._binding.layer("strokes", scan)
        if now is not None:
            self._show(scan, now.labels)
        elif layer is not None:
            self._show(scan, self._empty(scan, dict(layer.metadata["names"])))
        self.changed.emit(scan)

    def _ready(self) -> "Layer":
        """Return the active scan's layer; create it if needed."""
        scan = self._session.scan
        if scan is None:
            raise CoralBayError("no scan is open", hint="open a NIfTI file or a DICOM folder first")
        return self.layer_for(scan)

    def layer_for(self, scan: "Scan") -> "Layer":
        """Return the layer of a scan's strokes; create it if needed."""
        layer = self._binding.layer("strokes", scan)
        if layer is None:
            now = scan.strokes.now
            layer = self._show(scan, self._empty(scan, self._first_names()) if now is None else now.labels)
            self.changed.emit(scan)
        return layer

    def _first_names(self) -> dict[int, str]:
        """Return the classes of another scan, so that values mean the same in all scans."""
        others = (scan.strokes.now for scan in reversed(self._session.scans))
        return next((dict(now.names) for now in others if now is not None and now.names), dict(_FIRST_CLASSES))

    @staticmethod
    def _empty(scan: "Scan", names: dict[int, str]) -> LabelVolume:
        return LabelVolume(np.zeros(scan.label_grid.shape, np.uint8), scan.label_grid, "strokes", names=names)

    def _show(self, scan: "Scan", strokes: LabelVolume) -> "Layer":
        if strokes.data.dtype == np.uint8 or strokes.data.max(initial=0) > 255:
            shown = strokes
        else:  # room for the classes that are painted next, and colors that are looked up at once
            shown = LabelVolume(strokes.data.astype(np.uint8), strokes.grid, strokes.name, names=strokes.names)
        before = self._binding.layer("strokes", scan)
        self._known[scan] = shown.data.copy()
        layer = self._binding.show_strokes(shown, scan)
        if layer is not before:
            layer.brush_size = _BRUSH_VOXELS
            layer.selected_label = first_class(strokes.names)
            for emitter in (layer.events.paint, layer.events.data, layer.events.set_data):
                emitter.connect(self._soon)
            for emitter in (layer.events.selected_label, layer.events.mode, layer.events.brush_size):
                emitter.connect(lambda: self.changed.emit(scan))
        return layer


def first_class(names: Mapping[int, str]) -> int:
    """Return the class that is painted first: the first one that is a structure."""
    structures = [value for value, name in names.items() if name != BACKGROUND]
    return min(structures or names, default=1)


def class_color(value: int, name: str, chosen: Mapping[int, str]) -> str:
    """Return the color of a class in strokes."""
    return layer_specs.label_colors((value,), {value: name}, palette.UNDECIDED, chosen)[value]
