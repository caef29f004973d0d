"""Axial, coronal, sagittal and 3-D: dimension order and camera orientation, with the patient never mirrored.

napari's world here is (S, P, L), the last three of its dimensions: a layer with time or channels puts others before
them. Slices follow radiological convention: head up, front up or left, the patient's left on the right of the picture.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..display.layer_specs import IS_SCAN

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

AXIAL, CORONAL, SAGITTAL, VOLUME = "Axial", "Coronal", "Sagittal", "3-D"
VIEWS = (AXIAL, CORONAL, SAGITTAL, VOLUME)

_ORDERS = {AXIAL: (0, 1, 2), CORONAL: (1, 0, 2), SAGITTAL: (2, 0, 1), VOLUME: (0, 1, 2)}
_SUPERIOR = 0

_SPATIAL = 3

# From the front, a little from above and from the patient's left.
_DIRECTION, _UP = (-0.25, 1.0, -0.45), (1.0, 0.0, 0.0)


def show_view(viewer: "napari.Viewer", view: str, *, reset: bool = True) -> None:
    """Set a viewer to one of `VIEWS`."""
    point = tuple(viewer.dims.point)
    before = max(0, viewer.dims.ndim - _SPATIAL)
    viewer.dims.order = (*range(before), *(before + axis for axis in _ORDERS[view]))
    viewer.dims.ndisplay = 3 if view == VOLUME else 2
    viewer.dims.point = point  # napari goes to the camera's center when it leaves 3-D; the place looked at must stay
    orient(viewer)
    if reset:
        fit(viewer, shown_scans(viewer))
    if view == VOLUME:
        viewer.scene.camera.set_view_direction(_DIRECTION, _UP)


def fit(viewer: "napari.Viewer", layers: "Sequence[Layer]" = ()) -> None:
    """Fit some layers, or all, into the canvas."""
    # napari 0.9 looks for the extent of given layers in dimensions that only others may have, and fails.
    fitted = [layer for layer in layers if layer.ndim == viewer.dims.ndim]
    viewer.reset_view(layers=fitted or None, margin=0.02)


def shown_scans(viewer: "napari.Viewer") -> "list[Layer]":
    """Return the visible layers of scans."""
    return [layer for layer in viewer.layers if IS_SCAN in layer.metadata and layer.visible]


def has_scan(viewer: "napari.Viewer") -> bool:
    """Whether a canvas shows a scan, hidden or not."""
    return any(IS_SCAN in layer.metadata for layer in viewer.layers)


def known_axes(viewer: "napari.Viewer") -> str:
    """World axes whose direction in the patient is known, of ``"RAS"``: those that all scans here have in common.

    The sides of other images are unknown. A scan that is hidden counts only if no other is shown.
    """
    layers = shown_scans(viewer) or [layer for layer in viewer.layers if IS_SCAN in layer.metadata]
    scans = [layer.metadata[IS_SCAN] for layer in layers]
    return "".join(axis for axis in "RAS" if scans and all(axis in scan.known_axes for scan in scans))


def place_of(viewer: "napari.Viewer") -> NDArray[np.float64]:
    """Return the position of the slices in napari's world; fewer than three numbers without a volume."""
    return np.array(viewer.dims.point, float)[-_SPATIAL:]


def go_to(viewer: "napari.Viewer", place: ArrayLike) -> None:
    """Move the slices to a place in napari's world."""
    viewer.dims.set_point((-3, -2, -1), [float(value) for value in np.asarray(place)])


def shown_axes(viewer: "napari.Viewer") -> tuple[int, ...]:
    """Return the displayed axes among S, P and L, counted from 0; time and the like are below 0."""
    return tuple(axis - max(0, viewer.dims.ndim - _SPATIAL) for axis in viewer.dims.displayed)


def current_view(viewer: "napari.Viewer") -> str | None:
    """Return the current one of `VIEWS`, or None for another order of dimensions."""
    if viewer.dims.ndisplay == 3:
        return VOLUME
    before = max(0, viewer.dims.ndim - _SPATIAL)
    order = tuple(axis - before for axis in viewer.dims.order)
    return next((view for view in VIEWS if order[before:] == _ORDERS[view]), None)


def orient(viewer: "napari.Viewer") -> None:
    """Set the camera's orientation for the displayed dimensions; safe to call after any change."""
    displayed = shown_axes(viewer)[-2:]
    # Superior points up; Posterior points down, as in an axial slice; a horizontal axis always runs to the right.
    vertical = "up" if displayed[0] == _SUPERIOR else "down"
    depth = "towards"
    if viewer.dims.ndisplay == 3 and viewer.dims.ndim >= _SPATIAL:
        # (S, P, L) is a left-handed frame, so its picture must be too: an even number of swaps needs an odd number of
        # reversals of napari's default (towards, down, right).
        reversals = (_parity(viewer.dims.displayed) + 1 + (vertical == "up")) % 2
        depth = "away" if reversals else "towards"
    wanted = (depth, vertical, "right")
    if tuple(str(part) for part in viewer.scene.camera.orientation) != wanted:
        viewer.scene.camera.orientation = wanted


def _parity(order: tuple[int, ...]) -> int:
    """Return 0 for an even permutation, 1 for an odd one."""
    return sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) % 2
