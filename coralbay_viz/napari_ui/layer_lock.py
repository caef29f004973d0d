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

if TYPE_CHECKING:
    from napari.layers import Layer

# In the order in which they are put back: napari derives the scale from what the others leave of the matrix.
_PARTS = ("rotate", "shear", "scale", "translate", "affine", "units")


class LayerLock:
    """Transforms of layers that nobody but the session may change."""

    put_back = Signal(object)  # a layer that was moved

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Layer, dict[str, Any]] = WeakKeyDictionary()
        self._busy = False

    def hold(self, layer: "Layer") -> None:
        """Keep a layer where it is now."""
        new = layer not in self._kept
        self._kept[layer] = _transform(layer)
        for name in _PARTS if new else ():
            getattr(layer.events, name).connect(self._on_move)

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
        for layer in list(self._kept):
            for name in _PARTS:
                with suppress(ValueError):
                    getattr(layer.events, name).disconnect(self._on_move)
        self._kept.clear()

    def _on_move(self, event: Any) -> None:
        layer = event.source
        kept = self._kept.get(layer)
        if kept is None or self._busy or _same(_transform(layer), kept):
            return
        self._busy = True
        try:
            for name in _PARTS:
                setattr(layer, name, kept[name])
        finally:
            self._busy = False
        self.put_back.emit(layer)


def place_in_patient(layer: "Layer", affine: NDArray) -> bool:
    """Give a layer this affine from array index to napari's world and no other transform; whether that moved it."""
    before = layer.extent.world if layer.ndim == 3 else None
    layer.rotate, layer.shear, layer.scale, layer.translate = np.eye(3), np.zeros(3), np.ones(3), np.zeros(3)
    layer.affine = affine
    return before is not None and not np.allclose(before, layer.extent.world, rtol=0, atol=1e-3)


def _transform(layer: "Layer") -> dict[str, Any]:
    parts = {name: getattr(layer, name) for name in _PARTS}
    return {**parts, "affine": np.array(layer.affine.affine_matrix)}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one["units"] != other["units"]:
        return False
    return all(np.allclose(one[name], other[name], rtol=0, atol=1e-9) for name in _PARTS if name != "units")
