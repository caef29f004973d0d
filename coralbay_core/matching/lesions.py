"""Lesions of two label maps, measured, and paired over the alignment of the two scans.

A lesion is one connected part of a label. Its diameter is the longest one within a slice, as RECIST 1.1 measures it
(Eisenhauer and others 2009).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume
from ..spatial.geometry import Affine
from .deformation import Deformation

PAIR_MM = 25.0
"""Greatest distance of a lesion in the follow-up from where the alignment puts one of the baseline."""

MOST_LESIONS = 2000
"""Parts of a label map above which it holds noise or anatomy, and no lesions."""

Change = Literal["both", "new", "resolved", "outside"]


@dataclass(frozen=True)
class Lesion:
    """One connected part of a label.

    Parameters
    ----------
    name : str
        Of its label, with a number where the label has several parts.
    center_mm : tuple of float
        Mean position, world mm.
    diameter_mm : float
        Longest diameter within a slice of the label map.
    volume_ml : float
    """

    name: str
    center_mm: tuple[float, float, float]
    diameter_mm: float
    volume_ml: float


@dataclass(frozen=True)
class LesionChange:
    """A lesion of a baseline, of a follow-up, or of both.

    Parameters
    ----------
    change : str
        ``both``; ``new``: in the follow-up alone; ``resolved``: in the baseline alone; ``outside``: in one of them, at
        a place that the other scan does not show.
    baseline, follow_up : Lesion, optional
    expected_mm : tuple of float
        Where the alignment puts the lesion in the follow-up; for a new one, its own place there.
    confidence : float
        Of the alignment, at the lesion.
    """

    change: Change
    baseline: Lesion | None
    follow_up: Lesion | None
    expected_mm: tuple[float, float, float]
    confidence: float

    @property
    def name(self) -> str:
        """Name in the baseline, or that of the follow-up for a new lesion."""
        shown = self.baseline or self.follow_up
        return "" if shown is None else shown.name

    def as_row(self) -> dict[str, Any]:
        """Columns of a table, in order; those of the scan without the lesion are empty."""
        row: dict[str, Any] = {"name": self.name, "change": self.change}
        for before, lesion in (("baseline_", self.baseline), ("", self.follow_up)):
            place = (None,) * 3 if lesion is None else tuple(round(v, 2) for v in lesion.center_mm)
            row |= {f"{before}{axis}_mm": value for axis, value in zip("xyz", place, strict=True)}
        for size, unit, digits in (("diameter", "mm", 1), ("volume", "ml", 3)):
            first, now = (
                None if lesion is None else float(getattr(lesion, f"{size}_{unit}"))
                for lesion in (self.baseline, self.follow_up)
            )
            gained = None if first is None or now is None else now - first
            percent = None if gained is None or first is None else 100 * gained / first
            row[f"baseline_{size}_{unit}"], row[f"{size}_{unit}"] = _rounded(first, digits), _rounded(now, digits)
            row[f"{size}_change_{unit}"], row[f"{size}_change_percent"] = _rounded(gained, digits), _rounded(percent, 1)
        away = None
        if self.baseline is not None and self.follow_up is not None:
            away = float(np.linalg.norm(np.subtract(self.follow_up.center_mm, self.expected_mm)))
        return row | {"distance_mm": _rounded(away, 1), "confidence": round(self.confidence, 3)}


def measure_lesions(labels: LabelVolume) -> tuple[Lesion, ...]:
    """Measure each connected part of each label of a label map; maps with thousands of parts are refused."""
    from scipy import ndimage

    found: list[Lesion] = []
    for value in (int(v) for v in np.unique(labels.data) if v > 0):
        parts, count = ndimage.label(labels.data == value, np.ones((3, 3, 3)))
        if len(found) + count > MOST_LESIONS:
            raise InputError(
                "too many lesions",
                where=labels.name,
                found=f"{len(found) + count} connected parts",
                expected=f"at most {MOST_LESIONS}",
                hint="give a label map of lesions only, without specks",
            )
        name = labels.names.get(value, f"label {value}")
        for number, box in enumerate(ndimage.find_objects(parts), 1):
            called = name if count == 1 else f"{name} ({number})"
            index = np.argwhere(parts[box] == number) + [side.start for side in box]
            found.append(_measured(called, index, labels))
    return tuple(found)


def follow_lesions(
    baseline: LabelVolume, follow_up: LabelVolume, alignment: Deformation, *, within_mm: float = PAIR_MM
) -> tuple[LesionChange, ...]:
    """Pair the lesions of two scans so that the sum of their distances over the alignment is least.

    Parameters
    ----------
    baseline, follow_up : LabelVolume
        Lesions in the source and the target of the alignment, on the grids of these scans; values and names play no
        part in the pairing. One of them may be empty.
    alignment : Deformation
    within_mm : float
        Lesions farther apart are not paired.

    Returns
    -------
    tuple of LesionChange
        Lesions of the baseline in their order, then new ones.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    first, second = measure_lesions(baseline), measure_lesions(follow_up)
    if not first and not second:
        raise InputError("no lesions", where=baseline.name, expected="labels of 1 and above in one of the two maps")
    before, now = (np.array([one.center_mm for one in part]).reshape(-1, 3) for part in (first, second))
    expected = alignment(before)
    away = np.minimum(cdist(expected, now), within_mm)  # a pair that is too far apart costs as much as none
    rows, columns = linear_sum_assignment(away)
    pairs = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if away[r, c] < within_mm}
    sure = alignment.confidence_at(before), alignment.confidence_at(now, of="target")
    shown = follow_up.grid.contains(expected), baseline.grid.contains(alignment.backward(now))
    changes = []
    for number, lesion in enumerate(first):
        found = second[pairs[number]] if number in pairs else None
        change: Change = "both" if found else "resolved" if shown[0][number] else "outside"
        changes.append(LesionChange(change, lesion, found, _triple(expected[number]), float(sure[0][number])))
    for number, lesion in enumerate(second):
        if number not in pairs.values():
            change = "new" if shown[1][number] else "outside"
            changes.append(LesionChange(change, None, lesion, lesion.center_mm, float(sure[1][number])))
    return tuple(changes)


def _measured(name: str, index: NDArray[np.intp], labels: LabelVolume) -> Lesion:
    grid = labels.grid
    diameter = max(_longest(index[index[:, 0] == z], grid.affine) for z in np.unique(index[:, 0]))
    center = grid.to_world(index.mean(0))
    return Lesion(name, _triple(center), float(diameter), float(len(index) * grid.voxel_ml))


def _longest(index: NDArray[np.intp], affine: Affine) -> float:
    """Longest distance of two points on the outline of the voxels (N, 3) of one slice, mm."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    # The corners of voxels would be half a diagonal too far out: a disc is measured right with midpoints of edges.
    edges = np.array([(0, 0.5, 0), (0, -0.5, 0), (0, 0, 0.5), (0, 0, -0.5)])
    points = (index[:, None] + edges).reshape(-1, 3) @ affine[:3, :3].T
    flat = points @ np.linalg.svd(points - points.mean(0), full_matrices=False)[2][:2].T
    return float(pdist(flat[ConvexHull(flat).vertices]).max())


def _triple(position: NDArray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in position)
    return x, y, z


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
