"""Statistics of a segmentation, and its comparison with a reference."""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume, Volume
from ..spatial.interpolation import Box
from ..spatial.segmentation_metrics import dice, surface_distance
from ..util.arguments import checked
from ..util.atomic_file import atomic_path

_SLAB_VOXELS = 8_000_000
_PART = 4_000_000


@dataclass(frozen=True)
class LabelStatistics:
    """Statistics of one label of a segmentation.

    Parameters
    ----------
    value : int
    name : str
        Empty where unknown.
    volume_ml : float
    mean_hu, sd_hu, p05_hu, median_hu, p95_hu : float, optional
        Mean, standard deviation and percentiles of HU of its voxels; None without a CT or without voxels.
    reference_ml : float, optional
        Volume in the reference; the following are None without one.
    dice : float, optional
    surface_mm : float, optional
        Mean distance of the surfaces, there and back; None where either is empty.
    """

    value: int
    name: str
    volume_ml: float
    mean_hu: float | None = None
    sd_hu: float | None = None
    p05_hu: float | None = None
    median_hu: float | None = None
    p95_hu: float | None = None
    reference_ml: float | None = None
    dice: float | None = None
    surface_mm: float | None = None

    def as_row(self) -> dict[str, Any]:
        """Columns of a table, in order."""
        return asdict(self)

    @classmethod
    def columns(cls) -> list[str]:
        """Names of the columns of a table, in order."""
        return [field.name for field in fields(cls)]


@checked
def label_statistics(
    labels: LabelVolume,
    volume: Volume | None = None,
    reference: LabelVolume | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[LabelStatistics]:
    """Compute statistics of each label in the segmentation or the reference, sorted by value.

    Parameters
    ----------
    labels : LabelVolume
    volume, reference : optional
        CT for HU, segmentation to compare with; both on the grid of `labels`.
    progress : callable, optional
        Takes the numbers of labels that are done, and of all.
    """
    for other, what in ((volume, "CT"), (reference, "reference")):
        if other is not None and other.grid != labels.grid:
            raise InputError(f"segmentation and {what} have different grids", found=labels.shape, expected=other.shape)
    return list(_statistics(labels, volume, reference, progress))


def _statistics(
    labels: LabelVolume,
    volume: Volume | None,
    reference: LabelVolume | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[LabelStatistics]:
    maps = [labels.data] if reference is None else [labels.data, reference.data]
    boxes = _boxes(maps)
    names = (reference.names if reference is not None else {}) | labels.names
    for number, (value, box) in enumerate(sorted(boxes.items()), 1):
        found = labels.data[box] == value
        hu = {} if volume is None else _hu(volume.data[box][found])
        against = {} if reference is None else _against(found, reference.data[box] == value, labels)
        yield LabelStatistics(
            int(value), names.get(value, ""), float(found.sum() * labels.grid.voxel_ml), **hu, **against
        )
        if progress is not None:
            progress(number, len(boxes))


def _boxes(maps: list[NDArray[np.integer]]) -> dict[int, Box]:
    """Smallest box of each value but 0 that holds it in all maps; the maps are read in slabs."""
    from scipy import ndimage

    ends: dict[int, NDArray[np.intp]] = {}
    for data in maps:
        depth = max(1, _SLAB_VOXELS // (data.shape[1] * data.shape[2]))
        for start in range(0, data.shape[0], depth):
            values, compact = np.unique(data[start : start + depth], return_inverse=True)
            found = ndimage.find_objects(compact.reshape(-1, *data.shape[1:]) + 1)
            for value, box in zip(values.tolist(), found, strict=True):
                low, high = np.array([[part.start, part.stop] for part in box]).T
                low[0], high[0] = low[0] + start, high[0] + start
                known = ends.get(value)
                ends[value] = np.array(
                    [low, high] if known is None else [np.minimum(known[0], low), np.maximum(known[1], high)]
                )
    return {
        value: tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))  # type: ignore[misc]
        for value, (low, high) in ends.items()
        if value
    }


def _hu(values: NDArray) -> dict[str, float | None]:
    if not values.size:
        return {}
    low, middle, high = np.percentile(values, (5, 50, 95))
    mean = float(values.mean(dtype=np.float64))
    # In parts, as the deviations of a large structure would take gigabytes.
    squares = sum(float(np.square(part - mean).sum()) for part in np.split(values, range(_PART, len(values), _PART)))
    return {
        "mean_hu": mean,
        "sd_hu": float(np.sqrt(squares / len(values))),
        "p05_hu": float(low),
        "median_hu": float(middle),
        "p95_hu": float(high),
    }


def _against(found: NDArray[np.bool_], wanted: NDArray[np.bool_], labels: LabelVolume) -> dict[str, float | None]:
    both = bool(found.any() and wanted.any())
    return {
        "reference_ml": float(wanted.sum() * labels.grid.voxel_ml),
        "dice": dice(found, wanted),
        "surface_mm": surface_distance(found, wanted, labels.grid.spacing_mm) if both else None,
    }


def require_table_name(path: Path) -> None:
    """Raise unless the name is that of a CSV file."""
    if path.suffix.lower() != ".csv":
        raise InputError("not a table name", where=path, expected="a name that ends in .csv")


@checked
def save_statistics(path: str | Path, rows: Iterable[LabelStatistics]) -> Path:
    """Write a CSV file with one row per label, atomically.

    Raises
    ------
    InputError
        Unless the name ends in ``.csv``.
    """
    path = Path(path)
    require_table_name(path)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, LabelStatistics.columns())
        writer.writeheader()
        writer.writerows(row.as_row() for row in rows)
    return path
