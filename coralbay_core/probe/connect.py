"""Scores of a probe that follow connections between cells: strokes spread to what they are connected to.

A random walker with prior (Grady 2005): the strokes of the scan are fixed, the probe's probabilities are the prior, and
values spread from cell to cell where features and HU agree (`features.cell_graph`).
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.cell_graph import CellGraph, cell_graph
from ..spatial import LabelVolume, Volume
from ..spatial.volume import labeled_voxels
from ..util.cancellation import IsCancelled
from .model import Probe
from .scores import ScoreMap, softmax

DEFAULT_PULL = 0.01
"""Weight of the probe's probabilities in each cell; an edge between equal cells weighs 1. The lower it is, the farther
strokes spread."""

# A class that a walk hardly reaches keeps a score, so that probabilities and margins stay finite.
_LEAST = 1e-6
_TOLERANCE = 0.02


def connected_scores(
    probe: Probe,
    features: FeatureMaps,
    labels: LabelVolume,
    guide: Volume | None = None,
    *,
    pull: float = DEFAULT_PULL,
    keep_islands: bool = False,
    cancelled: IsCancelled | None = None,
) -> ScoreMap:
    """Compute scores of all classes that follow connections from the strokes.

    Parameters
    ----------
    probe : Probe
        Fitted to these strokes, alone or with others.
    features : FeatureMaps
        Of the scan of the strokes.
    labels : LabelVolume
        Strokes on the scan; values that the probe does not know are ignored.
    guide : Volume, optional
        The CT: borders between cells are then also seen in its HU.
    pull : float
        Weight of the probe's probabilities; `DEFAULT_PULL` says more.
    keep_islands : bool
        Whether parts of a class without a stroke keep it. By default they get the likeliest other label, unless the
        class has no stroke in the body at all.
    cancelled : callable, optional
        When it returns true, `Cancelled` is raised.

    Returns
    -------
    ScoreMap
        Logarithms of probabilities on the whole finest grid.
    """
    if not 0 < pull < np.inf:
        raise InputError("weight of the probe out of range", found=pull, expected="a number above 0")
    plain = probe.scores(features)
    graph = cell_graph(features, guide)
    prior = np.ascontiguousarray(softmax(plain.data).reshape(len(probe.values), -1)[:, graph.index].T)
    fixed, values = _painted(graph, labels, probe.values)
    found = graph.spread(fixed, values, prior=prior, pull=pull, tolerance=_TOLERANCE, cancelled=cancelled)
    found = np.maximum(found, _LEAST)
    if not keep_islands:
        _drop_islands(graph, found, fixed, values)
    found /= found.sum(1, keepdims=True)
    data = graph.scatter(np.log(found), 0)
    outside = np.setdiff1d(np.arange(plain.data[0].size), graph.index, assume_unique=True)
    data.reshape(len(data), -1)[:, outside] = _log_softmax(plain.data.reshape(len(data), -1)[:, outside])
    return ScoreMap(data, plain.grid, plain.values, plain.outside, features)


def _painted(
    graph: CellGraph, labels: LabelVolume, values: tuple[int, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Cells with strokes, and the share of each class in them."""
    voxels = labeled_voxels(labels.data)
    painted = labels.data.reshape(-1)[voxels]
    known = np.isin(painted, values)
    cells = graph.cells_at(labels.grid.cell_positions(voxels[known]))
    classes = np.searchsorted(values, painted[known])
    inside = cells >= 0
    votes = np.zeros((len(graph), len(values)), np.float32)
    np.add.at(votes, (cells[inside], classes[inside]), 1)
    total = votes.sum(1)
    return total > 0, votes / np.maximum(total, 1)[:, None]


def _drop_islands(
    graph: CellGraph, probabilities: NDArray[np.float32], fixed: NDArray[np.bool_], values: NDArray[np.float32]
) -> None:
    """Make a class least likely in its connected parts that hold no stroke of it; in place."""
    from scipy import ndimage

    best = graph.scatter(probabilities.argmax(1).astype(np.float32), -1)
    for number in range(probabilities.shape[1]):
        seeds = graph.index[fixed & (values[:, number] > 0)]
        if not len(seeds):
            continue
        parts, count = ndimage.label(best == number)
        flat = parts.reshape(-1)
        island = np.ones(count + 1, bool)
        island[0] = False
        island[flat[seeds]] = False
        probabilities[island[flat[graph.index]], number] = _LEAST


def _log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(softmax(scores), _LEAST))
