"""What something was before, and what was taken back: undo and redo over several levels."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from coralbay_core.volume import Grid, LabelVolume, labelled_voxels

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


@dataclass(frozen=True, eq=False)
class PaintedVoxels:
    """Strokes as the few voxels that they are, so that a hundred states cost little.

    Parameters
    ----------
    index : (N,) int array
        Flat indices on `grid`.
    values : (N,) int array
    grid : Grid
    names : dict of int to str
    """

    index: NDArray[np.intp]
    values: NDArray[np.integer]
    grid: Grid
    names: dict[int, str]

    @classmethod
    def of(cls, labels: LabelVolume) -> "PaintedVoxels":
        index = labelled_voxels(labels.data)
        return cls(index, labels.data.reshape(-1)[index], labels.grid, dict(labels.names))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def classes(self) -> tuple[int, ...]:
        """Values that are painted, rising."""
        return tuple(int(value) for value in np.unique(self.values))

    @property
    def labels(self) -> LabelVolume:
        """The strokes as a label volume."""
        data = np.zeros(self.grid.shape, self.values.dtype)
        data.reshape(-1)[self.index] = self.values
        return LabelVolume(data, self.grid, name="strokes", names=self.names)

    @property
    def position_mm(self) -> NDArray[np.float64]:
        """World mm of each voxel, (N, 3)."""
        return self.grid.to_world(np.stack(np.unravel_index(self.index, self.grid.shape), 1))
