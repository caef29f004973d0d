"""Geometry of crops: the affine of each view around a location. Runs in the reading processes, with numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spatial.geometry import box_corners
from .config import ViewsConfig

MARGIN = 4.0  # minimum distance of matched points to the edge of a view, voxels


@dataclass(frozen=True)
class CropSizes:
    """Resolved sizes of crops, in voxels of the training data.

    Parameters
    ----------
    global_zoom, local_zoom : float
        Voxels of the data in one voxel of a view.
    shift, local_shift : float
    """

    global_zoom: float
    local_zoom: float
    shift: float
    local_shift: float


def crop_sizes(config: ViewsConfig, spacing_mm: float) -> CropSizes:
    """Resolve the sizes of crops."""

    def zoom(side: int, mm: float | str) -> float:
        return 1.0 if mm == "auto" else float(mm) / (side * spacing_mm)

    global_zoom, local_zoom = zoom(config.global_side, config.global_mm), zoom(config.local_side, config.local_mm)
    extent = config.global_side * global_zoom

    def shift(mm: float | str, share: float) -> float:
        return share * extent if mm == "auto" else float(mm) / spacing_mm

    return CropSizes(global_zoom, local_zoom, shift(config.shift_mm, 0.22), shift(config.local_shift_mm, 0.33))


def rotation(angles: NDArray) -> NDArray[np.float64]:
    """Rotation matrix of successive rotations about z, y and x, radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (other for other in range(3) if other != axis)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix


def random_affine(
    rng: np.random.Generator, center: NDArray, side: int, zoom: float, shift: float, config: ViewsConfig
) -> NDArray[np.float64]:
    """Draw the affine (3, 4) of a view, from its voxels (z, y, x) to voxels of the volume.

    Parameters
    ----------
    rng : np.random.Generator
    center : (3,) array
        Location in voxels of the volume.
    side : int
    zoom, shift : float
        As in `CropSizes`.
    config : ViewsConfig
    """
    size = np.exp(np.full(3, rng.uniform(-1, 1) * config.log_scale)) * zoom
    if rng.random() < config.anisotropy_share:
        size = size * np.exp(rng.uniform(-1, 1, 3) * config.anisotropy)
    size = np.where(rng.random(3) < config.flip, -size, size)
    linear = rotation(np.radians(rng.uniform(-1, 1, 3) * config.rotation_degrees)) * size
    middle = center + rng.uniform(-1, 1, 3) * shift
    return np.concatenate([linear, (middle - linear @ np.full(3, (side - 1) / 2))[:, None]], 1)


def bounds(affines: NDArray, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest voxel, and highest + 1, that linear interpolation of views with these affines (V, 3, 4) reads."""
    corners = box_corners([(0, side - 1)] * 3)
    reached = np.einsum("vij,nj->vni", affines[:, :, :3], corners) + affines[:, None, :, 3]
    return np.floor(reached.min((0, 1))).astype(int), np.floor(reached.max((0, 1))).astype(int) + 2


def matched_points(
    rng: np.random.Generator, first: NDArray, second: NDArray, side: int, count: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Draw positions that lie in both of two views.

    Parameters
    ----------
    rng : np.random.Generator
    first, second : (3, 4) array
        Affines.
    side, count : int

    Returns
    -------
    points : (2, count, 3) array
        Voxel in either view.
    positions : (count, 3) array
        Voxel of the volume.
    valid : (count,) bool array
        All False if fewer than `count` common positions were found.
    """
    candidates = rng.uniform(MARGIN, side - 1 - MARGIN, (16 * count, 3))
    positions = candidates @ first[:, :3].T + first[:, 3]
    there = (positions - second[:, 3]) @ np.linalg.inv(second[:, :3]).T
    found = np.flatnonzero(((there > MARGIN) & (there < side - 1 - MARGIN)).all(1))
    chosen = np.resize(found[:count], count) if len(found) else np.zeros(count, int)
    # Repeated points would be each other's negatives.
    valid = np.full(count, len(found) >= count)
    points = np.stack([candidates[chosen], np.clip(there[chosen], 0, side - 1)])
    return points, positions[chosen], valid
