"""A click on the canvas becomes a world position; a drag stays what napari makes of it."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import world_from_napari

if TYPE_CHECKING:
    import napari

_STILL_PX = 4
_NEGATIVE_KEYS = {"Shift", "Alt"}  # window managers keep Alt-click for themselves, so Shift does the same


class PickTool:
    """Reports clicks while it is on.

    Parameters
    ----------
    viewer : napari.Viewer
    picked : callable
        ``picked(position_mm, negative)``.
    refused : callable
        Called with a sentence when a click cannot be used.
    """

    def __init__(
        self,
        viewer: "napari.Viewer",
        picked: Callable[[np.ndarray, bool], None],
        refused: Callable[[str], None],
    ) -> None:
        self.on = False
        self._viewer = viewer
        self._picked = picked
        self._refused = refused
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Listen no more."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if not self.on or event.button != 1:
            return
        start = np.array(event.pos, float)
        position, negative = np.array(event.position, float), bool(_NEGATIVE_KEYS & set(event.modifiers))
        yield
        while event.type == "mouse_move":
            if np.abs(np.array(event.pos, float) - start).max() > _STILL_PX:
                return
            yield
        self._report(position, negative)

    def _report(self, position: np.ndarray, negative: bool) -> None:
        if self._viewer.dims.ndisplay == 3:
            self._refused("picking works in slices - choose axial, coronal or sagittal")
        else:
            self._picked(world_from_napari(position[-3:]), negative)
