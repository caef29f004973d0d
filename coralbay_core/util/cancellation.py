"""Cancellation of work between its stages."""

from collections.abc import Callable

from ..errors import Cancelled

IsCancelled = Callable[[], bool]
"""Returns true once the work should stop."""


def check_cancelled(cancelled: IsCancelled | None, work: str) -> None:
    """Raise `Cancelled` if `cancelled` returns true; `work` names it in the message, e.g. ``heat map``."""
    if cancelled is not None and cancelled():
        raise Cancelled(f"{work} was cancelled")
