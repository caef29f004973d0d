"""Agreement of two segmentations, by MONAI's metrics."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def overlap_and_distance(
    predicted: NDArray, truth: NDArray, values: Sequence[int], spacing_mm: NDArray, *, surfaces: bool
) -> dict[int, tuple[float, float | None]]:
    """Compute Dice and, optionally, the mean distance of the surfaces in mm, for each value (MONAI's metrics).

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
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.metrics import compute_dice

    pair = [torch.from_numpy(mask)[None, None] for mask in (found, wanted)]
    return float(compute_dice(*pair, include_background=True, ignore_empty=False)[0, 0])


def surface_distance(found: NDArray[np.bool_], wanted: NDArray[np.bool_], spacing_mm: NDArray) -> float:
    """Mean distance of the surfaces of two masks, there and back, in mm; neither may be empty."""
    import warnings

    import torch

    either = np.argwhere(found | wanted)
    box = tuple(slice(a, b) for a, b in zip(either.min(0), either.max(0) + 1, strict=True))
    pair = [torch.from_numpy(np.pad(mask[box], 1))[None, None].float() for mask in (found, wanted)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of its own deprecated arguments
        from monai.metrics import compute_average_surface_distance

        distance = compute_average_surface_distance(
            *pair, include_background=True, symmetric=True, spacing=[float(mm) for mm in spacing_mm]
        )
    return float(distance[0, 0])
