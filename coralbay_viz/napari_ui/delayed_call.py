"""Calls that wait for the event loop, and are dropped with the object that they belong to."""

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


def call_later(owner: QObject, delay_ms: int, call: Callable[[], object]) -> None:
    """Call a function once after a delay, unless `owner` was deleted before.

    ``QTimer.singleShot`` with an owner exists in PySide6 alone.
    """
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(call)
    timer.timeout.connect(timer.deleteLater)
    timer.start(delay_ms)
