"""Canvas of a viewer, and its OpenGL context."""

from typing import Any

from napari.qt import QtViewer
from qtpy.QtWidgets import QApplication


def make_current(viewer: Any) -> None:
    """Let the OpenGL objects of a layer that is removed be deleted in their own context.

    napari 0.9 deletes them outside of painting, in whichever context Qt used last: that of another canvas loses objects
    that it still needs. With Mesa 22.3 the second frame after that reads a shader that is gone, and the process ends.
    """
    native = native_canvas(viewer)
    if native is not None:
        native.makeCurrent()


def native_canvas(viewer: Any) -> Any:
    """Return Qt's widget of the canvas of a viewer, or None without a window."""
    itself = getattr(viewer, "__wrapped__", viewer)  # behind the proxy that napari passes to plugins
    for window in QApplication.topLevelWidgets():
        for shown in window.findChildren(QtViewer):
            if shown.viewer is itself:
                return shown.canvas.native
    return None
