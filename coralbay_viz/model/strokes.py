"""Painted voxels, stored sparsely."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume
from coralbay_core.spatial.volume import labeled_voxels


@dataclass(frozen=True, eq=False)
class PaintedVoxels:
    """Strokes as a list of voxels, so that many states for undo need little memory.

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
        """Create from a label volume."""
        index = labeled_voxels(labels.data)
        return cls(index, labels.data.reshape(-1)[index], labels.grid, dict(labels.names))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def classes(self) -> tuple[int, ...]:
        """Painted values, ascending."""
        return tuple(int(value) for value in np.unique(self.values))

    @property
    def labels(self) -> LabelVolume:
        """Strokes as a label volume."""
        data = np.zeros(self.grid.shape, self.values.dtype)
        data.reshape(-1)[self.index] = self.values
        return LabelVolume(data, self.grid, name="strokes", names=self.names)

    @property
    def position_mm(self) -> NDArray[np.float64]:
        """World mm of each voxel, (N, 3)."""
        return self.grid.to_world(np.stack(np.unravel_index(self.index, self.grid.shape), 1))
