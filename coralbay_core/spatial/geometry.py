"""Affines between array indices and world millimeters.

World is RAS+ mm (NIfTI). Indices are ``(z, y, x)`` and a voxel's index names its *center*, so the volume's edges lie at
``-0.5`` and ``n - 0.5``. All affines are float64 4x4 and map homogeneous column vectors.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Affine = NDArray[np.float64]

_POSITIVE_CODES = "RAS"
_NEGATIVE_CODES = "LPI"


def translate(offset: ArrayLike) -> Affine:
    """Make an affine that adds `offset`, three numbers or one for all axes."""
    affine = np.eye(4)
    affine[:3, 3] = offset
    return affine


def scale(factor: ArrayLike) -> Affine:
    """Make an affine that multiplies by `factor`, three numbers or one for all axes."""
    return np.diag(np.append(np.broadcast_to(np.asarray(factor, float), 3), 1.0))


def coarsen(affine: Affine, ratio: ArrayLike) -> Affine:
    """Make the affine of a grid whose cells are `ratio` times as large, with the same low edges.

    Cell 0 of the new grid covers the old indices ``[-0.5, ratio - 0.5)``, so its center lies at ``(ratio - 1) / 2``;
    without that term a map of stride 32 at 1.5 mm would be shifted by 23 mm. `ratio` may differ between axes and may be
    below 1, which refines.
    """
    ratio = np.asarray(ratio, float)
    return affine @ translate((ratio - 1) / 2) @ scale(ratio)


def apply(affine: Affine, points: ArrayLike) -> NDArray[np.float64]:
    """Map points of shape (..., 3)."""
    points = np.asarray(points, float)
    return points @ affine[:3, :3].T + affine[:3, 3]


def inverse(affine: Affine) -> Affine:
    """Invert an affine."""
    return np.asarray(np.linalg.inv(affine), np.float64)


def fit_affine(source: ArrayLike, target: ArrayLike) -> Affine:
    """Affine that maps points (N, 3) nearest to others (N, 3), by least squares."""
    points = np.asarray(source, float)
    affine = np.eye(4)
    affine[:3] = np.linalg.lstsq(np.c_[points, np.ones(len(points))], np.asarray(target, float), rcond=None)[0].T
    return affine


def box_corners(ends: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Make the eight corners (8, 3) of a box from its two ends along each of three axes."""
    return np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, 3).astype(float)


def spacing(affine: Affine) -> NDArray[np.floating]:
    """Length of one index step along each array axis, mm, shape (3,)."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def is_invertible(matrix: NDArray[np.floating], least: float) -> bool:
    """Whether a matrix is finite and its determinant is finite and at least `least` from 0."""
    with np.errstate(over="ignore", invalid="ignore"):  # what gets infinite is unusable, not a warning
        return bool(np.isfinite(matrix).all() and least <= abs(np.linalg.det(matrix)) < np.inf)


def nearest_axes(affine: Affine) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """World axis and sign that each array axis follows best, each of shape (3,).

    The assignment is one to one and maximizes the sum of absolute cosines, so it is defined for any invertible affine.
    """
    cosines = affine[:3, :3] / spacing(affine)
    # All six are tried: importing an assignment solver would take longer than everything else that opens a scan.
    axes = np.array(max(permutations(range(3)), key=lambda world: np.abs(cosines[world, range(3)]).sum()), np.intp)
    signs = np.where(cosines[axes, np.arange(3)] < 0, -1, 1).astype(np.intp)
    return axes, signs


def axis_codes(affine: Affine) -> tuple[str, str, str]:
    """Direction in which each array index grows, e.g. ``("S", "P", "L")``."""
    axes, signs = nearest_axes(affine)
    first, second, third = (
        (_POSITIVE_CODES if sign > 0 else _NEGATIVE_CODES)[axis] for axis, sign in zip(axes, signs, strict=True)
    )
    return first, second, third


def reorient(affine: Affine, codes: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Permutation and flips that turn an array with `affine` to the axis codes `codes`.

    Returns
    -------
    order : tuple of int
        For ``numpy.transpose``: new axis i is old axis ``order[i]``.
    flips : tuple of bool
        Whether new axis i then runs backwards.
    """
    current = axis_codes(affine)
    opposite = dict(zip(_POSITIVE_CODES + _NEGATIVE_CODES, _NEGATIVE_CODES + _POSITIVE_CODES, strict=True))
    order = []
    for code in codes:
        if code not in opposite:
            raise InputError("unknown axis code", found=code, expected="one of R L A P S I")
        order.append(next(i for i, c in enumerate(current) if c in (code, opposite[code])))
    flips = tuple(current[axis] != code for axis, code in zip(order, codes, strict=True))
    return tuple(order), flips


def reoriented_affine(
    affine: Affine, shape: tuple[int, ...], order: tuple[int, ...], flips: tuple[bool, ...]
) -> Affine:
    """Affine of the array that `order` and `flips` of `reorient` make from one of `shape` with `affine`."""
    old_from_new = np.zeros((4, 4))
    old_from_new[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        old_from_new[old, new] = -1 if flip else 1
        old_from_new[old, 3] = shape[old] - 1 if flip else 0
    return affine @ old_from_new


def obliqueness_degrees(affine: Affine) -> float:
    """Largest angle between an array axis and the world axis that it follows; rotation and shear both count."""
    cosines = affine[:3, :3] / spacing(affine)
    axes, _ = nearest_axes(affine)
    along = np.abs(cosines[axes, np.arange(3)])
    return float(np.degrees(np.arccos(np.clip(along.min(), 0, 1))))


def is_axis_aligned(affine: Affine, within_degrees: float = 1.0) -> bool:
    """Whether rotation and shear stay within a bound."""
    return obliqueness_degrees(affine) <= within_degrees
