"""Undo and redo."""

from typing import Generic, TypeVar

T = TypeVar("T")
LEVELS = 100


class History(Generic[T]):
    """A value, its past and its future.

    Parameters
    ----------
    now : T
        Immutable, as earlier states are kept as they are.
    """

    def __init__(self, now: T) -> None:
        self.now = now
        self._past: list[T] = []
        self._future: list[T] = []

    def change(self, value: T) -> None:
        """Make a new state; what was undone is gone."""
        self._past = [*self._past, self.now][-LEVELS:]
        self._future.clear()
        self.now = value

    def undo(self) -> bool:
        """Go one change back; whether there was one."""
        return self._step(self._past, self._future)

    def redo(self) -> bool:
        """Go one change forth again; whether there was one."""
        return self._step(self._future, self._past)

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def _step(self, source: list[T], target: list[T]) -> bool:
        if not source:
            return False
        target.append(self.now)
        self.now = source.pop()
        return True
