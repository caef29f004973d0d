"""Agreement of two segmentations: Dice, and the distance of surfaces."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def overlap_and_distance(
    predicted: NDArray, truth: NDArray, values: Sequence[int], spacing_mm: NDArray, *, surfaces: bool
) -> dict[int, tuple[float, float | None]]:
    """Compute Dice and, optionally, the mean distance of the surfaces in mm, for each value.

    The distance is None if nothing was predicted: there is no surface to measure from.
    """
    result: dict[int, tuple[float, float | None]] = {}
    for value in values:
        found, wanted = predicted == value, truth == value
        distance = surface_distance(found, wanted, spacing_mm) if surfaces and found.any() and wanted.any() else None
        result[value] = (dice(found, wanted), distance)
    return result


def dice(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """Dice of two masks; 1 where both are empty."""
    size = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted))
    return 2 * int(np.count_nonzero(found & wanted)) / size if size else 1.0


def surface_distance(found: NDArray[np.bool_], wanted: NDArray[np.bool_], spacing_mm: NDArray) -> float:
    """Mean distance of the surfaces of two masks, there and back, in mm; neither may be empty.

    It is that of MONAI's `compute_average_surface_distance`, from a tree of the surface voxels: distance maps of a
    structure that fills a large scan take minutes and gigabytes.
    """
    from scipy.spatial import KDTree

    ours, theirs = (np.argwhere(_surface(mask)) * np.asarray(spacing_mm, float) for mask in (found, wanted))
    distances = [KDTree(b).query(a)[0] for a, b in ((ours, theirs), (theirs, ours))]
    return float(np.concatenate(distances).mean())


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a mask with one of the six neighbors outside; beyond the array is outside."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        kept, full = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        kept[:-1] &= full[1:]
        kept[1:] &= full[:-1]
        kept[0] = kept[-1] = False
    return mask & ~inner
