"""Clusters of similar cells of a scan, as a label volume."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, InputError
from ..spatial import Grid, LabelVolume
from ..spatial.resampling import resample
from ..util.arguments import checked

ClusterMethod = Literal["kmeans", "hdbscan"]
CLUSTER_METHODS: tuple[ClusterMethod, ...] = ("kmeans", "hdbscan")
FIT_CELLS = 10_000
_MOST = 255


@checked
def cluster_cells(
    coordinates: NDArray[np.float32],
    inside: NDArray[np.bool_],
    grid: Grid,
    count: int = 8,
    *,
    method: ClusterMethod = "kmeans",
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
) -> LabelVolume:
    """Cluster cells. Labels count from 1 by decreasing size; 0 is outside, and noise of HDBSCAN.

    Parameters
    ----------
    coordinates : (K, z, y, x) array
        Principal coordinates (`Basis.coordinates`) or an embedding.
    inside : (z, y, x) bool array
        Cells to group.
    grid : Grid
        Grid of the cells.
    count : int
        k-means: number of groups. HDBSCAN (Campello, Moulavi, Sander 2013): the smallest group it makes holds one part
        in four times `count` of the sample, so a larger number allows smaller groups.
    method : str
        ``kmeans`` or ``hdbscan``; both are fitted on a seeded sample, other cells follow their nearest.
    seed : int
    cancelled : callable, optional
        Returns whether the result is not wanted any more; checked between fitting and assignment.

    Raises
    ------
    Cancelled
        Soon after `cancelled` returns true.
    """
    if method not in CLUSTER_METHODS:
        raise InputError("unknown clustering method", found=method, expected=f"one of {', '.join(CLUSTER_METHODS)}")
    cells = np.ascontiguousarray(coordinates[:, inside].T)
    if not 2 <= count <= min(_MOST, len(cells)):
        raise InputError("number of clusters out of range", found=count, expected=f"2 to {min(_MOST, len(cells))}")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cells))[:FIT_CELLS])
    assign = _kmeans if method == "kmeans" else _hdbscan
    labels = np.zeros(inside.shape, np.uint8)
    labels[inside] = _by_size(assign(cells, cells[chosen], count, seed, cancelled))
    names = {int(value): f"cluster {value}" for value in np.unique(labels) if value}
    return LabelVolume(labels, grid, name="clusters", names=names)


def labels_on(labels: LabelVolume, grid: Grid) -> LabelVolume:
    """Resample a label volume to another grid, 0 outside of its own."""
    data = resample(labels.data, labels.grid, grid, order=0, fill=0)
    return LabelVolume(data, grid, name=labels.name, names=labels.names)


def _kmeans(
    cells: NDArray, sample: NDArray, count: int, seed: int, cancelled: Callable[[], bool]
) -> NDArray[np.integer]:
    from sklearn.cluster import KMeans

    fitted = KMeans(count, n_init=3, random_state=seed).fit(sample)
    _check(cancelled)
    return fitted.predict(cells)


def _hdbscan(
    cells: NDArray, sample: NDArray, count: int, seed: int, cancelled: Callable[[], bool]
) -> NDArray[np.integer]:
    import torch
    from scipy.spatial import KDTree
    from sklearn.cluster import HDBSCAN

    smallest = max(5, len(sample) // (4 * count))
    found = HDBSCAN(min_cluster_size=smallest, min_samples=5, copy=True).fit_predict(sample)
    _check(cancelled)
    return found[KDTree(sample).query(cells, workers=torch.get_num_threads())[1]]


def _check(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("stopped between fitting and assignment")


def _by_size(found: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Renumber labels from 1 by decreasing size; negative ones, and those above 255, become 0."""
    values, sizes = np.unique(found[found >= 0], return_counts=True)
    table = np.zeros(int(found.max(initial=0)) + 1, np.uint8)
    ranked = values[np.argsort(-sizes, kind="stable")][:_MOST]
    table[ranked] = np.arange(1, len(ranked) + 1)
    return np.where(found >= 0, table[np.maximum(found, 0)], 0).astype(np.uint8)
