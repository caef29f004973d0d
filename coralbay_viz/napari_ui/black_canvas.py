"""Black behind scans in every theme: air is black, and gray values cannot be judged beside white."""

from typing import TYPE_CHECKING, Any

from ..display.layer_specs import IS_SCAN

if TYPE_CHECKING:
    import napari


class BlackCanvas:
    """Background of a canvas that is black while a scan is listed, and of the theme else.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    """

    def __init__(self, viewer: "napari.Viewer") -> None:
        self._viewer = viewer
        self._set = False  # a color that the user has chosen stays
        self._events = viewer.layers.events.inserted, viewer.layers.events.removed
        for event in self._events:
            event.connect(self.update)
        self.update()

    def update(self, event: Any = None) -> None:
        """Set the background to what is listed now."""
        canvas = self._viewer.canvas
        wanted = any(IS_SCAN in layer.metadata for layer in self._viewer.layers)
        if wanted and not self._set and canvas.background_color_override is None:
            canvas.background_color_override, self._set = "black", True
        elif not wanted and self._set:
            canvas.background_color_override, self._set = None, False

    def close(self) -> None:
        """Give the background back to the theme."""
        for event in self._events:
            event.disconnect(self.update)
        if self._set:
            self._viewer.canvas.background_color_override = None
