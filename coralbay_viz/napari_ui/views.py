"""Axial, coronal, sagittal and 3-D: dimension order and camera orientation, with the patient never mirrored.

napari's world here is (S, P, L). Slices follow radiological convention: head up, front up or left, the patient's left
on the right of the picture.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layers import IS_SCAN

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

AXIAL, CORONAL, SAGITTAL, VOLUME = "Axial", "Coronal", "Sagittal", "3-D"
VIEWS = (AXIAL, CORONAL, SAGITTAL, VOLUME)

_ORDERS = {AXIAL: (0, 1, 2), CORONAL: (1, 0, 2), SAGITTAL: (2, 0, 1), VOLUME: (0, 1, 2)}
_SUPERIOR = 0

# From the front, a little from above and from the patient's left.
_DIRECTION, _UP = (-0.25, 1.0, -0.45), (1.0, 0.0, 0.0)


def show_view(viewer: "napari.Viewer", view: str, *, reset: bool = True) -> None:
    """Turn a viewer to one of `VIEWS`."""
    point = tuple(viewer.dims.point)
    viewer.dims.order = _ORDERS[view]
    viewer.dims.ndisplay = 3 if view == VOLUME else 2
    viewer.dims.point = point  # napari goes to the camera's centre when it leaves 3-D; the place looked at must stay
    orient(viewer)
    if reset:
        scans = [layer for layer in viewer.layers if IS_SCAN in layer.metadata and layer.visible]
        fit(viewer, scans)
    if view == VOLUME:
        viewer.scene.camera.set_view_direction(_DIRECTION, _UP)


def fit(viewer: "napari.Viewer", layers: "Sequence[Layer]" = ()) -> None:
    """Fit layers, or all, into the canvas."""
    viewer.reset_view(layers=list(layers) or None, margin=0.02)


def current_view(viewer: "napari.Viewer") -> str | None:
    """Which of `VIEWS` is shown, or None for an order of dimensions that is none of them."""
    if viewer.dims.ndisplay == 3:
        return VOLUME
    return next((view for view in VIEWS if _ORDERS[view] == tuple(viewer.dims.order)), None)


def orient(viewer: "napari.Viewer") -> None:
    """Set the camera's orientation to what the displayed dimensions ask for; safe to call after any change of them."""
    displayed = tuple(viewer.dims.displayed)[-2:]
    # Superior points up; Posterior points down, as in an axial slice; a horizontal axis always runs to the right.
    vertical = "up" if displayed[0] == _SUPERIOR else "down"
    depth = "towards"
    if viewer.dims.ndisplay == 3 and viewer.dims.ndim == 3:
        # (S, P, L) is a left-handed frame, so its picture must be too: an even number of swaps needs an odd number of
        # reversals of napari's default (towards, down, right).
        reversals = (_parity(viewer.dims.displayed) + 1 + (vertical == "up")) % 2
        depth = "away" if reversals else "towards"
    wanted = (depth, vertical, "right")
    if tuple(str(part) for part in viewer.scene.camera.orientation) != wanted:
        viewer.scene.camera.orientation = wanted


def _parity(order: tuple[int, ...]) -> int:
    """0 for an even permutation, 1 for an odd one."""
    return sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) % 2
