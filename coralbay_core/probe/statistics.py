"""Statistics of a segmentation, and its comparison with a reference."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume, Volume
from ..spatial.segmentation_metrics import dice, surface_distance
from ..util.atomic_file import atomic_path


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


def label_statistics(
    labels: LabelVolume, volume: Volume | None = None, reference: LabelVolume | None = None
) -> list[LabelStatistics]:
    """Compute statistics of each label in the segmentation or the reference, sorted by value.

    Parameters
    ----------
    labels : LabelVolume
    volume, reference : optional
        CT for HU, segmentation to compare with; both on the grid of `labels`.
    """
    for other, what in ((volume, "CT"), (reference, "reference")):
        if other is not None and other.grid != labels.grid:
            raise InputError(f"segmentation and {what} have different grids", found=labels.shape, expected=other.shape)
    return list(_statistics(labels, volume, reference))


def _statistics(labels: LabelVolume, volume: Volume | None, reference: LabelVolume | None) -> Iterator[LabelStatistics]:
    values = set(np.unique(labels.data).tolist()) | (
        set() if reference is None else set(np.unique(reference.data).tolist())
    )
    names = (reference.names if reference is not None else {}) | labels.names
    for value in sorted(values - {0}):
        found = labels.data == value
        hu = {} if volume is None else _hu(volume.data[found])
        against = {} if reference is None else _against(found, reference.data == value, labels)
        yield LabelStatistics(
            int(value), names.get(value, ""), float(found.sum() * labels.grid.voxel_ml), **hu, **against
        )


def _hu(values: NDArray) -> dict[str, float | None]:
    if not values.size:
        return {}
    low, middle, high = np.percentile(values, (5, 50, 95))
    return {
        "mean_hu": float(values.mean(dtype=np.float64)),
        "sd_hu": float(values.std(dtype=np.float64)),
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
