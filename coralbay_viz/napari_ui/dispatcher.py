"""Dispatch of calls from worker threads to the GUI thread."""

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, Signal


class MainThreadDispatcher(QObject):
    """Queue of functions that run, in order, on the thread that created it (the GUI thread)."""

    _posted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._open = True
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def deliver(self, call: Callable[[], None]) -> None:
        """Schedule `call`; from any thread."""
        try:
            self._posted.emit(call)
        except RuntimeError:
            # The window is closed and Qt has deleted this object.
            self._open = False

    def close(self) -> None:
        """Discard the calls that are still queued."""
        self._open = False

    def _run(self, call: Callable[[], None]) -> None:
        if self._open:
            call()
