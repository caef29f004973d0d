"""Undo and redo."""

from typing import Generic, TypeVar

T = TypeVar("T")
LEVELS = 100


class History(Generic[T]):
    """Value with undo and redo.

    Parameters
    ----------
    now : T
        Immutable, because earlier states are stored without copies.
    """

    def __init__(self, now: T) -> None:
        self.now = now
        self._past: list[T] = []
        self._future: list[T] = []

    def change(self, value: T) -> None:
        """Set a new state; undone states are discarded."""
        self._past = [*self._past, self.now][-LEVELS:]
        self._future.clear()
        self.now = value

    def undo(self) -> bool:
        """Undo one change; return whether there was one."""
        return self._step(self._past, self._future)

    def redo(self) -> bool:
        """Redo one change; return whether there was one."""
        return self._step(self._future, self._past)

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a change to redo."""
        return bool(self._future)

    def _step(self, source: list[T], target: list[T]) -> bool:
        if not source:
            return False
        target.append(self.now)
        self.now = source.pop()
        return True
