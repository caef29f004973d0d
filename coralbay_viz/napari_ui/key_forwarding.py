"""Keys that are pressed in another view, passed to the main canvas."""

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from .main_canvas import native_canvas

_KEYS = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)


class KeyForwarding(QObject):
    """Pass the keys of a canvas to the main canvas: the view that was clicked last has the focus.

    Parameters
    ----------
    viewer : napari.Viewer
        Of the main canvas.
    canvas : QWidget
        The other canvas, which owns this object.
    """

    def __init__(self, viewer: Any, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._viewer = viewer
        canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass keys on, and nothing else."""
        if event.type() not in _KEYS:
            return False
        main = native_canvas(self._viewer)
        if main is None:
            return False
        QApplication.sendEvent(main, event)
        return True
