"""Docks beside the main panel that can be opened and closed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from .delayed_call import call_later

if TYPE_CHECKING:
    from .context import Context

_SIZE = 480, 320
_SETTLED_MS = 120


class Docked(QWidget):
    """Widget with its own dock.

    Subclasses disconnect their signals in `release`. It is called once: when the dock is closed, or when the window is
    closed and no Qt object is left.
    """

    gone = Signal()

    def __init__(self, context: "Context") -> None:
        super().__init__()
        self._context = context
        self._docked = False
        self._released = False
        context.at_end(self._release_once)

    def release(self) -> None:
        """Disconnect from viewer and session; must not use Qt objects."""

    def _release_once(self) -> None:
        if not self._released:
            self._released = True
            self.release()

    def sizeHint(self) -> QSize:
        """Return the initial size."""
        return QSize(*_SIZE)

    def event(self, event: QEvent) -> bool:
        """Detect that the user closed the dock: napari then removes the widget from it."""
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
    """Dock that is opened and closed by a button.

    Parameters
    ----------
    context : Context
    main_panel : QWidget
        The main panel.
    name, area : str
        As for `napari.Window.add_dock_widget`.
    make : callable
        Returns the `Docked` widget.
    changed : callable
        Called with whether it is open.
    """

    def __init__(
        self,
        context: "Context",
        main_panel: QWidget,
        name: str,
        area: str,
        make: Callable[[], Docked],
        changed: Callable[[bool], Any] = lambda on: None,
    ) -> None:
        self._context, self._main_panel, self._make, self._changed = context, main_panel, make, changed
        self._name, self._area = name, area
        self.widget: Docked | None = None

    def open(self, on: bool = True) -> None:
        """Open or close the dock."""
        window = self._context.viewer.window
        if on and self.widget is None:
            with waiting():
                self.widget = self._make()
            self.widget.gone.connect(self._gone)
            _give_corners(self._main_panel.window())
            window.add_dock_widget(self.widget, name=self._name, area=self._area)
            call_later(self._main_panel, _SETTLED_MS, self._context.binding.fit)
            self._changed(True)
        elif not on and self.widget is not None:
            with suppress(LookupError):
                window.remove_dock_widget(self.widget)

    def _gone(self) -> None:
        self.widget = None
        self._changed(False)


@contextmanager
def waiting() -> Iterator[None]:
    """Show the pointer for "please wait" meanwhile: canvases take a moment to make."""
    QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    try:
        yield
    finally:
        QApplication.restoreOverrideCursor()


def _give_corners(window: QWidget) -> None:
    """Give the bottom corners to the side docks, so that docks below the canvas are as wide as the canvas."""
    if isinstance(window, QMainWindow):
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
