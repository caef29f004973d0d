"""Layers of scans kept in place: napari's transform mode and scripts could move a picture away from its answers.

Clicks, heat maps and saved files are at the place of the patient, whatever a layer's transform says, so a layer that
was moved would show one place and answer at another.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from .layer_data import UNITS

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

# In the order in which they are put back: napari derives the scale from what the others leave of the matrix.
_PARTS = ("rotate", "shear", "scale", "translate", "affine", "units")


class LayerLock:
    """Transforms of layers that nobody but the session may change, on a canvas in mm.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    put_back = Signal(object)  # a layer that was moved

    def __init__(self, viewer: "napari.Viewer") -> None:
        self._viewer = viewer
        self._point = viewer.dims.point  # while all layers were in place
        self._links = [
            (viewer.dims.events.point, self._on_point),
            (viewer.layers.events.units, self._on_units),
            (viewer.layers.events.inserted, self._on_insert),
        ]
        for emitter, slot in self._links:
            emitter.connect(slot)
        self._kept: WeakKeyDictionary[Layer, dict[str, Any]] = WeakKeyDictionary()
        self._busy = False

    def hold(self, layer: "Layer") -> None:
        """Keep a layer where it is now."""
        new = layer not in self._kept
        self._kept[layer] = _transform(layer)
        for name in _PARTS if new else ():
            getattr(layer.events, name).connect(self._on_move)
        # After napari's own controls, which would show a mode that is no longer set.
        if new:
            layer.events.mode.connect(self._on_mode, position="last")
        if len(self._kept) == 1:
            for other in self._viewer.layers:
                self._measure_in_mm(other)

    def move(self, layer: "Layer", affine: NDArray) -> None:
        """Place a layer elsewhere, and keep it there."""
        busy, self._busy = self._busy, True
        try:
            layer.affine = affine
        finally:
            self._busy = busy
        if layer in self._kept:
            self.hold(layer)

    def release(self) -> None:
        """Let all layers go."""
        for emitter, slot in self._links:
            emitter.disconnect(slot)
        self._links.clear()
        for layer in list(self._kept):
            for name in _PARTS:
                with suppress(ValueError):
                    getattr(layer.events, name).disconnect(self._on_move)
            layer.events.mode.disconnect(self._on_mode)
        self._kept.clear()

    def _on_move(self, event: Any) -> None:
        layer = event.source
        kept = self._kept.get(layer)
        if kept is None or self._busy:
            return
        now = _transform(layer)
        moved = [name for name in _PARTS if not _same(now, kept, name)]
        if not moved:
            return
        self._busy = True
        try:
            for name in moved:
                setattr(layer, name, kept[name])
        finally:
            self._busy = False
        self._go_back()
        self.put_back.emit(layer)

    def _on_mode(self, event: Any) -> None:
        """Leave the mode that moves layers."""
        layer = event.source
        if layer in self._kept and str(layer.mode) == "transform":
            layer.mode = "pan_zoom"
            self.put_back.emit(layer)

    def _on_point(self, event: Any = None) -> None:
        if not self._busy and self._is_in_mm() and all(_is_at(layer, kept) for layer, kept in self._kept.items()):
            self._point = self._viewer.dims.point

    def _on_insert(self, event: Any) -> None:
        self._measure_in_mm(event.value)

    def _on_units(self, event: Any = None) -> None:
        """Drop a unit that was chosen for the whole canvas."""
        if not self._busy and not self._is_in_mm():
            self._busy = True
            try:
                self._viewer.layers.units = None
            finally:
                self._busy = False
            self._go_back()

    def _measure_in_mm(self, layer: "Layer") -> None:
        """Measure a layer of other units in mm, at the same place.

        napari measures the canvas in the smallest unit of its layers, so a click would be a thousand times farther
        away once an image in micrometers is there.
        """
        units = layer.units[-3:]
        if not self._kept or len(units) < 3 or not all(map(_is_length, units)):
            return
        factors = np.ones(layer.ndim + 1)
        factors[-4:-1] = [(1 * unit).to("mm").magnitude for unit in units]
        if not np.array_equal(factors, np.ones_like(factors)):
            self._busy = True
            try:
                layer.affine = np.diag(factors) @ layer.affine.affine_matrix
                layer.units = (*layer.units[:-3], *UNITS)
            finally:
                self._busy = False
            self._go_back()

    def _is_in_mm(self) -> bool:
        """Whether the canvas has mm, or no units at all, as with layers in pixels."""
        units = self._viewer.layers.units
        return units is None or all(unit == (1 * unit).to("mm").units for unit in units[-3:] if _is_length(unit))

    def _go_back(self) -> None:
        """Show the slices of before: napari has moved them to where a layer went."""
        if len(self._point) == self._viewer.dims.ndim:
            self._viewer.dims.point = self._point


def _is_length(unit: Any) -> bool:
    return bool(unit.is_compatible_with("mm"))


def place_in_patient(layer: "Layer", affine: NDArray) -> bool:
    """Give a layer this affine from array index to napari's world and no other transform; whether that moved it."""
    before = layer.extent.world if layer.ndim == 3 else None
    layer.rotate, layer.shear, layer.scale, layer.translate = np.eye(3), np.zeros(3), np.ones(3), np.zeros(3)
    layer.affine = affine
    return before is not None and not np.allclose(before, layer.extent.world, rtol=0, atol=1e-3)


def _transform(layer: "Layer") -> dict[str, Any]:
    parts = {name: getattr(layer, name) for name in _PARTS}
    return {**parts, "affine": np.array(layer.affine.affine_matrix)}


def _is_at(layer: "Layer", kept: dict[str, Any]) -> bool:
    """Whether a layer is in place: quick, as it is looked up for each step through the slices."""
    parts = ("translate", "scale", "rotate", "shear")
    return np.array_equal(layer.affine.affine_matrix, kept["affine"]) and all(
        np.array_equal(getattr(layer, name), kept[name]) for name in parts
    )


def _same(one: dict[str, Any], other: dict[str, Any], name: str) -> bool:
    if name == "units":
        return bool(one[name] == other[name])
    return bool(np.allclose(one[name], other[name], rtol=0, atol=1e-9))
