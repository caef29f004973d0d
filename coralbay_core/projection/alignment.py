"""Stable colors of a scan while its model is being trained.

A basis that was fitted to the features of one checkpoint does not apply to a later one: the channels mean something
else by then. But the cells of the scan are the same, so the principal components are fitted again and rotated, within
their span, so that the cells are as close as possible to their earlier coordinates (orthogonal Procrustes; Schonemann,
Psychometrika 31, 1966). Signs and order of the components, and rotations between components of similar
variance, are thereby stable; remaining changes are due to the training.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from .basis import Basis
from .colors import color_range
from .selection import cells_inside


def aligned_basis(basis: Basis, features: FeatureMaps, like: NDArray[np.float32]) -> Basis:
    """Rotate a basis within its span so that the coordinates of a scan are closest to given ones.

    Parameters
    ----------
    basis : Basis
        Basis with K components.
    features : FeatureMaps
        Features of the scan.
    like : (K, z, y, x) float32 array
        Coordinates of the same cells to come near to, such as `Basis.coordinates` of an earlier model. Their scale does
        not matter.

    Returns
    -------
    Basis
        Orthonormal as before, with color limits of its own. `explained` is that of the turned components.

    Raises
    ------
    InputError
        If the cells or the number of components differ.
    """
    coordinates = basis.coordinates(features)
    if like.shape != coordinates.shape:
        raise InputError("coordinates belong to other cells", found=like.shape, expected=coordinates.shape)
    inside = cells_inside(features)
    here, there = (maps[:, inside].astype(np.float64) for maps in (coordinates, like))
    # Each component counts alike: else the first one, which has most variance, would decide alone.
    left, _, right = np.linalg.svd(_unit(here) @ _unit(there).T)
    turn = (left @ right).astype(np.float32)
    variance = here.var(1)
    share = sum(basis.explained) / max(float(variance.sum()), 1e-12)
    turned = turn.T @ coordinates[:, inside]
    low, high = color_range(turned)
    return replace(
        basis,
        weights={stride: rows @ turn for stride, rows in basis.weights.items()},
        mean=basis.mean @ turn,
        low=low,
        high=high,
        explained=tuple(float(v) for v in share * turned.var(1, dtype=np.float64)),
    )


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
