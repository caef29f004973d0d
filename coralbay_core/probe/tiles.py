"""Tiles of a grid with the few classes that compete in each of them.

In most of a scan one class leads all others by far. A class that trails another one in all cells around a tile by more
than the evidence of HU can weigh does not win a voxel there, so it is not looked at: this saves nearly all of the work
of a probe with many classes, and gives the same labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..spatial import Grid
from ..spatial.interpolation import Box, Interpolator

TILE_MM = 24.0
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Tile:
    """A box of the grid.

    Parameters
    ----------
    part : tuple of slice
    cells : tuple of slice
        Box of the scores that it depends on.
    classes : (N,) int array
        Numbers of the classes that can win here, sorted.
    """

    part: Box
    cells: Box
    classes: NDArray[np.intp]


class Tiles:
    """Tiles of a grid.

    Parameters
    ----------
    scores : (classes, z, y, x) float32 array
    scores_grid, grid : Grid
    slack : float
        Lead by which a class may be ahead of another and still lose a voxel to it.
    """

    def __init__(self, scores: NDArray[np.float32], scores_grid: Grid, grid: Grid, slack: float):
        self._scores, self._slack, self._shape = scores, slack + _ROUNDING, grid.shape
        self.interpolate = Interpolator(scores_grid, grid)
        size = np.clip(np.rint(TILE_MM / grid.spacing_mm), 1, grid.shape).astype(int)
        self._size = [int(n) for n in size]

    @property
    def depth(self) -> int:
        """Slices of a row of tiles."""
        return self._size[0]

    def among(self, slices: slice, inside: NDArray[np.bool_]) -> Iterator[Tile]:
        """Yield the tiles of some rows that hold some of the body.

        Parameters
        ----------
        slices : slice
        inside : (length, y, x) bool array
            Voxels of the body in these slices.
        """
        cuts = (
            _cuts(slices.start, slices.stop, self._size[0]),
            _cuts(0, self._shape[1], self._size[1]),
            _cuts(0, self._shape[2], self._size[2]),
        )
        for z, y, x in product(*cuts):
            if inside[z.start - slices.start : z.stop - slices.start, y, x].any():
                cells = self.interpolate.needed((z, y, x))
                around = self._scores[(slice(None), *cells)].reshape(len(self._scores), -1)
                yield Tile((z, y, x), cells, contenders(around, self._slack))

    def scores(self, tile: Tile) -> NDArray[np.float32]:
        """Scores of the classes of a tile on its voxels, (N, z, y, x)."""
        box = self._scores[(slice(None), *tile.cells)][tile.classes]
        return self.interpolate(box, tile.cells, tile.part)


def contenders(scores: NDArray[np.float32], slack: float) -> NDArray[np.intp]:
    """Classes that no other class leads by more than `slack` in all cells; `scores` are (classes, cells)."""
    lead = np.full(len(scores), -np.inf, np.float32)
    for best in np.unique(scores.argmax(0)):
        np.maximum(lead, (scores[best] - scores).min(1), out=lead)
    return np.flatnonzero(lead <= slack)


def _cuts(start: int, stop: int, size: int) -> list[slice]:
    return [slice(a, min(a + size, stop)) for a in range(start, stop, size)]
