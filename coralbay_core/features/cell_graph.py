"""Graph of neighboring cells, and random walks on it.

An edge between two of the six neighbors of a cell is strong where their descriptors and their HU agree. A quantity that
is fixed on some cells spreads over the graph to the others and stops at borders between organs (random walker: Grady
2005, 2006).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..spatial import Grid, Volume
from ..spatial.resampling import resample
from ..util.cancellation import IsCancelled, check_cancelled
from .descriptors import joint_stages
from .feature_maps import FeatureMaps
from .linear_maps import unit_maps

if TYPE_CHECKING:
    from scipy.sparse import csr_array

GUIDE_HU = (-300.0, 400.0)
"""HU beyond are as good as these: air is air, and cortical bone is bone."""

# Strength of an edge: exp(COSINE (cosine - 1) - |difference of HU| / STEP_HU); see benchmarks/connectivity.py.
COSINE, STEP_HU = 20.0, 60.0
# How much the finest stage counts beside each of the others: it places borders best.
FINEST_WEIGHT = 2.0
_SLAB_PLANES = 8
_MOST_ITERATIONS = 400


@dataclass(frozen=True, eq=False)
class CellGraph:
    """The cells of the body at the finest stage, and how strongly neighbors are connected.

    Parameters
    ----------
    edges : (N, N) sparse float32 array
        Symmetric.
    index : (N,) int array
        Flat index of each cell on `grid`, rising.
    grid : Grid
        Of the finest stage.
    hu : (N,) float32 array, optional
        Mean HU of each cell within `GUIDE_HU`; None if the graph was made without a CT.
    """

    edges: "csr_array"
    index: NDArray[np.intp]
    grid: Grid
    hu: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def cells_at(self, position_mm: ArrayLike) -> NDArray[np.intp]:
        """Find the cells that contain world positions (N, 3): numbers (N,), -1 outside the body."""
        index = self.grid.nearest_index(np.asarray(position_mm, float).reshape(-1, 3))
        flat = np.ravel_multi_index(tuple(index.T), self.grid.shape)
        number = np.clip(np.searchsorted(self.index, flat), 0, len(self) - 1)
        return np.where(self.index[number] == flat, number, -1)

    def nearest_cell(self, position_mm: ArrayLike) -> int:
        """Find the cell whose center is nearest to a world position (3,): its number."""
        away = self.grid.cell_positions(self.index) - np.asarray(position_mm, float).reshape(3)
        return int(np.einsum("nc,nc->n", away, away).argmin())

    def scatter(self, values: NDArray, fill: float) -> NDArray[np.float32]:
        """Scatter values (N,) of the cells to a volume (z, y, x), or (N, K) to (K, z, y, x)."""
        out = np.full((*values.shape[1:], int(np.prod(self.grid.shape))), fill, np.float32)
        out[..., self.index] = values.T
        return out.reshape(*values.shape[1:], *self.grid.shape)

    def spread(
        self,
        fixed: NDArray[np.bool_],
        values: NDArray[np.float32],
        *,
        prior: NDArray[np.float32] | None = None,
        pull: float,
        tolerance: float = 1e-3,
        cancelled: IsCancelled | None = None,
    ) -> NDArray[np.float32]:
        """Spread values from fixed cells: each free cell gets the weighted mean of its neighbors and of its prior.

        Parameters
        ----------
        fixed : (N,) bool array
        values : (N, K) float32 array
            Of the fixed cells; elsewhere ignored.
        prior : (N, K) float32 array, optional
            By default 0.
        pull : float
            Weight of the prior; an edge between equal cells weighs 1.
        tolerance : float
            The solution of each column is exact up to this share of its first error.
        cancelled : callable, optional
            When it returns true, `Cancelled` is raised.

        Returns
        -------
        (N, K) float32 array
        """
        if pull <= 0:
            raise InputError("weight of the prior out of range", found=pull, expected="a number above 0")
        out = np.array(values, np.float32)
        # Scaled by the roots of the diagonal, the system has ones there: (1 - scaled) (roots x) = rest.
        roots = np.sqrt(np.asarray(self.edges.sum(1), np.float32).ravel() + np.float32(pull))
        scaled = _scaled(self.edges, 1 / roots)
        held = np.flatnonzero(fixed)
        for number, column in enumerate(out.T):
            own = np.zeros_like(column) if prior is None else np.ascontiguousarray(prior[:, number], np.float32)
            start = np.where(fixed, column, own) * roots
            rest = own * (np.float32(pull) / roots)
            out[:, number] = _solve(scaled, roots, held, start, rest, tolerance, cancelled) / roots
        out[held] = values[held]
        return out


def _scaled(edges: "csr_array", scale: NDArray[np.float32]) -> "csr_array":
    """Multiply rows and columns by the same numbers."""
    from scipy import sparse

    data = edges.data * np.repeat(scale, np.diff(edges.indptr))
    data *= scale[edges.indices]
    return sparse.csr_array((data, edges.indices, edges.indptr), shape=edges.shape)


def _solve(
    scaled: "csr_array",
    roots: NDArray[np.float32],
    held: NDArray[np.intp],
    start: NDArray[np.float32],
    rest: NDArray[np.float32],
    tolerance: float,
    cancelled: IsCancelled | None,
) -> NDArray[np.float32]:
    """Solve (1 - scaled) x = rest by conjugate gradients; the held elements of `start` stay."""
    from scipy.linalg.blas import saxpy

    x = start
    residual = rest + scaled @ x - x
    residual[held] = 0
    # The error is judged in the values that are looked for, not in the scaled ones.
    first = max(float(np.linalg.norm(residual * roots)), 1e-12)
    direction, size = residual.copy(), float(residual @ residual)
    for number in range(_MOST_ITERATIONS):
        if number % 16 == 0:
            check_cancelled(cancelled, "random walk")
        moved = direction - scaled @ direction
        moved[held] = 0
        step = size / max(float(direction @ moved), 1e-30)
        x, residual = saxpy(direction, x, a=step), saxpy(moved, residual, a=-step)
        if float(np.linalg.norm(residual * roots)) < tolerance * first:
            break
        next_size = float(residual @ residual)
        direction *= np.float32(next_size / max(size, 1e-30))
        direction += residual
        size = next_size
    return x


_graphs: "WeakKeyDictionary[FeatureMaps, tuple[ref[NDArray] | None, CellGraph]]" = WeakKeyDictionary()


def cell_graph(features: FeatureMaps, guide: Volume | None = None) -> CellGraph:
    """Connect neighboring cells of the body; the last graph is cached as long as `features` lives.

    Parameters
    ----------
    features : FeatureMaps
    guide : Volume, optional
        The CT; without it edges depend on the descriptors alone.
    """
    if features in _graphs:
        made_with, graph = _graphs[features]
        if (made_with is None and guide is None) or (made_with and guide and made_with() is guide.data):
            return graph
    graph = _connect(features, guide)
    _graphs[features] = (None if guide is None else ref(guide.data), graph)
    return graph


def _connect(features: FeatureMaps, guide: Volume | None) -> CellGraph:
    from scipy import sparse

    grid, inside = features.finest.grid, features.body_at(features.strides[0])
    index = np.flatnonzero(inside)
    number = np.full(inside.shape, -1, np.intp)
    number[inside] = np.arange(len(index))
    hu = None
    if guide is not None:
        hu = resample(guide.data, guide.grid, grid, limits=GUIDE_HU)
    parts = []
    for axis, cosine in enumerate(_neighbor_cosines(features)):
        low, high = _pair(axis)
        both = inside[low] & inside[high]
        strength = COSINE * (cosine - 1)
        if hu is not None:
            strength -= np.abs(hu[low] - hu[high]) / STEP_HU
        parts.append((number[low][both], number[high][both], np.exp(strength[both])))
    one, two, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    rows, columns = np.concatenate([one, two]), np.concatenate([two, one])
    shape = (len(index), len(index))
    edges = sparse.coo_array((np.tile(weight, 2).astype(np.float32), (rows, columns)), shape=shape).tocsr()
    if max(len(index), edges.nnz) <= np.iinfo(np.int32).max:
        edges.indices, edges.indptr = edges.indices.astype(np.int32), edges.indptr.astype(np.int32)
    return CellGraph(edges, index, grid, None if hu is None else hu[inside])


def _pair(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of all cells but the last and of all but the first along an axis."""
    low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
    high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    return low, high


def _neighbor_cosines(features: FeatureMaps) -> list[NDArray[np.float32]]:
    """Cosine of each cell and the next one along each axis: the mean of the stages, the finest counted double."""
    features = joint_stages(features)
    shape = features.finest.grid.shape
    means = [np.zeros([n - (a == axis) for a, n in enumerate(shape)], np.float32) for axis in range(3)]
    total = FINEST_WEIGHT + len(features.strides) - 1
    for stride in features.strides:
        share = (FINEST_WEIGHT if stride == features.strides[0] else 1.0) / total
        # One slab at a time, with the first plane of the next one: all channels of a scan take too much memory.
        for start in range(0, shape[0], _SLAB_PLANES):
            stop = min(start + _SLAB_PLANES, shape[0])
            slab = unit_maps(features, stride, (slice(start, min(stop + 1, shape[0])), slice(None), slice(None)))
            slab /= np.maximum(np.sqrt(np.einsum("czyx,czyx->zyx", slab, slab)), 1e-6)
            for axis in range(3):
                low, high = _pair(axis)
                cosine = np.einsum("czyx,czyx->zyx", slab[(slice(None), *low)], slab[(slice(None), *high)])
                depth = cosine.shape[0] if axis == 0 else stop - start
                means[axis][start : start + depth] += share * cosine[:depth]
    return means
