"""Docks beside the main panel, that come and go."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import QMainWindow, QWidget

if TYPE_CHECKING:
    from .context import Context

_SIZE = 480, 320


class Docked(QWidget):
    """A widget for a dock of its own.

    Sub-classes say in `release` what they listen to; it is called once, when the dock is closed or, without any Qt
    object being left, when the window is.
    """

    gone = Signal()

    def __init__(self, context: "Context") -> None:
        super().__init__()
        self._context = context
        self._docked = False
        self._released = False
        context.at_end(self._release_once)

    def release(self) -> None:
        """Let go of viewer and session; touch no Qt object."""

    def _release_once(self) -> None:
        if not self._released:
            self._released = True
            self.release()

    def sizeHint(self) -> QSize:
        """What the main window gives it at first."""
        return QSize(*_SIZE)

    def event(self, event: QEvent) -> bool:
        """napari takes the widget out of its dock when the user closes that."""
        handled = super().event(event)
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked and not self._released:
                self._release_once()
                self._context.not_at_end(self._release_once)
                self.gone.emit()
                self.deleteLater()
        return handled


class Dock:
    """A dock that is opened and closed by a button.

    Parameters
    ----------
    context : Context
    beside : QWidget
        The main panel.
    name, area : str
        As napari wants them.
    make : callable
        Gives the `Docked` widget.
    changed : callable
        Called with whether it is open.
    """

    def __init__(
        self,
        context: "Context",
        beside: QWidget,
        name: str,
        area: str,
        make: Callable[[], Docked],
        changed: Callable[[bool], Any] = lambda on: None,
    ) -> None:
        self._context, self._beside, self._make, self._changed = context, beside, make, changed
        self._name, self._area = name, area
        self.widget: Docked | None = None

    def open(self, on: bool = True) -> None:
        """Open or close it."""
        window = self._context.viewer.window
        if on and self.widget is None:
            self.widget = self._make()
            self.widget.gone.connect(self._gone)
            _give_corners(self._beside.window())
            window.add_dock_widget(self.widget, name=self._name, area=self._area)
            self._changed(True)
        elif not on and self.widget is not None:
            with suppress(LookupError):
                window.remove_dock_widget(self.widget)

    def _gone(self) -> None:
        self.widget = None
        self._changed(False)


def _give_corners(window: QWidget) -> None:
    """Let what lies below the canvas be as wide as that, and what lies beside it keep its height."""
    if isinstance(window, QMainWindow):
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
