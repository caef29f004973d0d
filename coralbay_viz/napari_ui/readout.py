"""Canvas overlays: position, HU and score under the cursor, and letters of the sides."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.overlays import TextOverlay

from ..display.napari_world import napari_from_world, world_from_napari
from ..model.places import place_text
from . import views

if TYPE_CHECKING:
    import napari

    from ..session import Session

# Of napari's world axes S, P and L: what lies where they grow, and where they fall.
_ENDS = (("S", "I"), ("P", "A"), ("L", "R"))
_WORLD = "SAR"  # the axis of RAS+ that each of them follows
_COLOR = "#ffb74d"
_SAME_MM = 1e-3
_SIDES = ("top_center", "bottom_center", "middle_left", "middle_right")


class Letters:
    """Letters S, I, A, P, L and R at the edges of slices.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    """

    def __init__(self, viewer: "napari.Viewer") -> None:
        self._viewer = viewer
        self._texts = {side: TextOverlay(position=side, font_size=12, color=_COLOR) for side in _SIDES}
        for side, text in self._texts.items():
            viewer.canvas.overlays[f"coralbay_{side}"] = text
        self.shown = True

    def update(self) -> None:
        """Set the letters to the displayed dimensions.

        There are none in 3-D, where the camera is free, and none over images whose sides are unknown.
        """
        shown = views.shown_axes(self._viewer)
        flat = len(shown) == 2 and min(shown) >= 0 and self._viewer.dims.ndim > 2
        known = views.known_axes(self._viewer) if flat and self.shown else ""
        vertical, horizontal = shown if known else (0, 0)
        for side, text in self._texts.items():
            axis = vertical if side in ("top_center", "bottom_center") else horizontal
            text.visible = _WORLD[axis] in known
        if not known:
            return
        up = str(self._viewer.scene.camera.orientation[1]) == "up"
        high, low = _ENDS[vertical]
        self._texts["top_center"].text, self._texts["bottom_center"].text = (high, low) if up else (low, high)
        self._texts["middle_right"].text, self._texts["middle_left"].text = _ENDS[horizontal]

    def close(self) -> None:
        """Remove the letters."""
        for side in self._texts:
            if f"coralbay_{side}" in self._viewer.canvas.overlays:
                del self._viewer.canvas.overlays[f"coralbay_{side}"]


class Readout:
    """HU, score and position under the cursor.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    """

    def __init__(self, viewer: "napari.Viewer", session: "Session") -> None:
        self._viewer = viewer
        self._session = session
        self._text = TextOverlay(position="bottom_left", font_size=10, color="white", box=True)
        viewer.canvas.overlays["coralbay_readout"] = self._text
        self._place: Any = None  # under the cursor, in napari's world
        self._slices: Any = None  # where they were then

    def show(self, position_mm: Any) -> None:
        """Show the description of a place of the active scan."""
        self._place, self._slices = napari_from_world(position_mm), views.place_of(self._viewer)
        text = describe(self._session, position_mm)
        self._text.text, self._text.visible = text, bool(text)

    def follow(self, event: Any = None) -> None:
        """Update the description after a change of slices; hide it if the cursor is over another canvas."""
        if self._place is None or not self._text.visible:
            return
        if min(len(self._slices), len(views.place_of(self._viewer))) < len(self._place):
            self.hide()  # the last volume goes
            return
        place, hidden = np.array(self._place), sorted({0, 1, 2} - set(views.shown_axes(self._viewer)))
        if np.abs(place - self._slices)[hidden].max(initial=0) > _SAME_MM:
            self.hide()
            return
        place[hidden] = views.place_of(self._viewer)[hidden]
        self.show(world_from_napari(place))

    def hide(self) -> None:
        """Hide the readout."""
        self._place, self._text.visible = None, False

    def close(self) -> None:
        """Remove the readout."""
        if "coralbay_readout" in self._viewer.canvas.overlays:
            del self._viewer.canvas.overlays["coralbay_readout"]


def describe(session: "Session", position_mm: Any) -> str:
    """Describe a place of the active scan, a line for each fact; empty outside of it."""
    scan = session.scan
    if scan is None:
        return ""
    index = np.rint(scan.volume.grid.to_index(position_mm)).astype(int)
    if (index < 0).any() or (index >= scan.volume.shape).any():
        return ""
    unit = " HU" if scan.volume.modality == "CT" else ""
    place = place_text(position_mm, scan.volume.known_axes)
    words = [f"{scan.volume.data[tuple(index)]:.0f}{unit}", f"{place} mm"]
    if scan.heat is not None:
        words.append(f"similarity {float(scan.heat.heat.at(position_mm)[0]):.2f}")
    if scan.segmentation is not None and (name := _label_at(scan.segmentation, position_mm)):
        words.append(name)
    return "\n".join(words)  # side by side they would reach the letter below the slice, and the scale bar


def _label_at(labels: Any, position_mm: Any) -> str:
    index = np.rint(labels.grid.to_index(position_mm)).astype(int).clip(0, np.array(labels.data.shape) - 1)
    value = int(labels.data[tuple(index)])
    return labels.names.get(value, f"label {value}") if value else ""
