"""Discretized search for displacements, coupled to a smooth field.

Each cell has the cost of a few hundred displacements. Choosing the best of each and smoothing the choice take turns,
with a growing price for leaving the smooth field (coupled convex optimization: Steinbruecker, Pock, Cremers 2009;
Heinrich and others 2014; ConvexAdam: Siebert, Hansen, Heinrich 2021).
"""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..spatial import Grid
from .inverse_consistency import Field
from .shared_features import SampledFeatures

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_ROWS = 2048


@dataclass(frozen=True)
class Level:
    """One search.

    Parameters
    ----------
    stride : int
        Of the lattice, in voxels of the model grid.
    radius : int
        Cells from a place within which its counterpart is searched.
    prices : tuple of float
        Of leaving the smooth field, per squared cell, one after the other.
    """

    stride: int
    radius: int
    prices: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SearchCells:
    """Cells of a lattice that lie in the body of a scan, and their neighbors.

    Parameters
    ----------
    grid : Grid
        The lattice.
    inside : (z, y, x) bool array
    mean : sparse (N, N) float32 array
        Makes the mean of each cell and its neighbors within the body.
    """

    grid: Grid
    inside: NDArray[np.bool_]
    mean: "csr_array"

    @classmethod
    def of(cls, grid: Grid, inside: NDArray[np.bool_]) -> "SearchCells":
        """Find the neighbors of the cells of a mask."""
        from scipy import sparse

        count = int(inside.sum())
        number = np.full(np.asarray(inside.shape) + 2, -1, np.intp)
        number[1:-1, 1:-1, 1:-1][inside] = np.arange(count)
        index = np.argwhere(inside) + 1
        rows, columns = [], []
        for offset in product((-1, 0, 1), repeat=3):
            other = number[tuple((index + offset).T)]
            known = np.flatnonzero(other >= 0)
            rows.append(known)
            columns.append(other[known])
        one, two = np.concatenate(rows), np.concatenate(columns)
        ones = sparse.coo_array((np.ones(len(one), np.float32), (one, two)), shape=(count, count)).tocsr()
        total = np.maximum(np.asarray(ones.sum(1)).ravel(), 1).astype(np.float32)
        return cls(grid, inside, sparse.diags_array(1 / total).tocsr().astype(np.float32) @ ones)


def search_displacements(
    cells: SearchCells, source: SampledFeatures, target: SampledFeatures, level: Level, field: Field | None = None
) -> NDArray[np.float32]:
    """Find a smooth displacement of each cell, (N, 3) in cells along the array's axes.

    Parameters
    ----------
    cells : SearchCells
        In the body of the scan of `source`.
    source, target : SampledFeatures
        In one common space.
    level : Level
    field : (3, z, y, x) array, optional
        Moves the lattice before `target` is sampled; what is found comes before it.
    """
    steps = _ball(level.radius)
    cost = cells.mean @ _costs(cells, source, target, steps, level.radius, field)
    found = cells.mean @ steps[cost.argmin(1)].astype(np.float32)
    length, directions = (steps**2).sum(1).astype(np.float32), steps.T.astype(np.float32)
    for price in level.prices:
        chosen = np.empty(len(cost), np.intp)
        for start in range(0, len(cost), _ROWS):
            rows = slice(start, start + _ROWS)
            # |step - found|^2 less what is the same for all steps.
            leaving = found[rows] @ (-2 * price * directions)
            leaving += price * length
            leaving += cost[rows]
            chosen[rows] = leaving.argmin(1)
        found = cells.mean @ steps[chosen].astype(np.float32)
    return found


def _ball(radius: int) -> NDArray[np.intp]:
    steps = np.array(list(product(range(-radius, radius + 1), repeat=3)))
    return steps[(steps**2).sum(1) <= radius**2]


def _costs(
    cells: SearchCells,
    source: SampledFeatures,
    target: SampledFeatures,
    steps: NDArray[np.intp],
    radius: int,
    field: Field | None,
) -> NDArray[np.float32]:
    """Squared distance of the features of each cell to those at each displacement, (N, D).

    Places outside the other volume cost as much as the mean of the others: nothing is known about them.
    """
    index = np.argwhere(cells.inside)
    own = source.at(cells.grid, torch.from_numpy(np.ascontiguousarray(index.T, np.float32)))[0].T.contiguous().numpy()
    padded = np.asarray(cells.grid.shape) + 2 * radius
    moved = np.indices(tuple(padded), np.float32) - radius
    if field is not None:
        moved += np.pad(field, [(0, 0), *[(radius, radius)] * 3], mode="edge")
    there, inside = target.at(cells.grid, torch.from_numpy(moved.reshape(3, -1)))
    others, known = np.ascontiguousarray(there.T.numpy()), inside.numpy()
    squares = np.einsum("nc,nc->n", others, others)
    flat = np.asarray(np.ravel_multi_index(tuple((index + radius).T), tuple(padded)), np.intp)
    moves = (steps * np.array([padded[1] * padded[2], padded[2], 1])).sum(1)
    cost = np.empty((len(index), len(steps)), np.float32)
    for start in range(0, len(index), _ROWS):
        rows = slice(start, start + _ROWS)
        mine, near, valid = own[rows], flat[rows], np.empty((len(own[rows]), len(steps)), bool)
        block = np.empty_like(cost[rows])
        for number, move in enumerate(moves):
            place = near + move
            block[:, number] = squares[place] - 2 * np.einsum("nc,nc->n", mine, others[place])
            valid[:, number] = known[place]
        mean = (block * valid).sum(1) / np.maximum(valid.sum(1), 1)
        cost[rows] = np.where(valid, block, mean[:, None])
    return cost
