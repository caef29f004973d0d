"""Order and geometry of the slices of a series.

Everything follows from the position and orientation of each slice, never from file names, instance numbers or slice
thickness. DICOM's world is LPS; the affine handed out is RAS+.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial.geometry import Affine
from . import checks
from .dicom_series import Slice

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ordered(slices: list[Slice], where: Path) -> tuple[list[Slice], tuple[str, ...]]:
    """Sort slices along their normal; raise unless they are unique, equal in geometry and evenly spaced."""
    unique = _without_copies(slices)
    copies = len(slices) - len(unique)
    _require_alike(unique, where)
    if len(unique) < 2:
        raise InputError("a single slice", where=where, found="1 DICOM slice", expected="at least 2 of one series")
    unique.sort(key=lambda s: float(s.normal @ s.position))
    _require_even(unique, where)
    notes = [f"{copies} duplicate files ignored"] if copies else []
    notes += sorted({s.remark for s in unique if s.remark})
    return unique, (*notes, *_rescale_notes(unique, where))


def _without_copies(slices: list[Slice]) -> list[Slice]:
    """Slices without those of equal UID and position.

    De-identified series may have one UID, or none, for all slices. A UID that slices at several positions share proves
    nothing: there only files of equal content are copies.
    """
    by_place: dict[tuple[float, ...], list[Slice]] = {}
    places: dict[str, set[tuple[float, ...]]] = {}
    for image in slices:
        place = tuple(np.round(image.position, 3) + 0.0)
        places.setdefault(image.uid, set()).add(place)
        there = by_place.setdefault(place, [])
        if not any(_is_copy(image, other) for other in there if other.uid == image.uid):
            there.append(image)
    found = []
    for there in by_place.values():
        telling = {image.uid: image for image in reversed(there) if image.uid and len(places[image.uid]) == 1}
        found += [image for image in there if telling.get(image.uid, image) is image]
    return found


def _is_copy(image: Slice, other: Slice) -> bool:
    return image.path.stat().st_size == other.path.stat().st_size and image.path.read_bytes() == other.path.read_bytes()


def _require_alike(slices: list[Slice], where: Path) -> None:
    first = slices[0]
    texts = [f"{s.shape[0]} x {s.shape[1]}" for s in slices]
    _require_all([s.shape == first.shape for s in slices], texts, "size", where)
    rows, columns = first.shape
    # What counts is how far the pixels at the far edge are from where the first slice has them.
    allowed = 0.5 * min(first.spacing)
    texts = [f"{s.spacing[0]:.4g} x {s.spacing[1]:.4g} mm" for s in slices]
    off = [float(np.abs(np.subtract(s.spacing, first.spacing)) @ (rows, columns)) for s in slices]
    _require_all([mm <= allowed for mm in off], texts, "pixel spacing", where)
    texts = [" ".join(f"{v:.3g}" for v in np.round(s.orientation, 4) + 0.0) for s in slices]
    edges = np.repeat([columns * first.spacing[1], rows * first.spacing[0]], 3)
    off = [float(np.linalg.norm((s.orientation - first.orientation) * edges)) for s in slices]
    _require_all([mm <= allowed for mm in off], texts, "orientation", where)


def _require_all(alike: list[bool], texts: list[str], word: str, where: Path) -> None:
    if all(alike):
        return
    found = "; ".join(f"{kind} ({n} slices)" for kind, n in Counter(texts).most_common(4))
    raise InputError(
        f"slices of one series differ in {word}", where=where, found=found, expected="the same in all slices"
    )


def _rescale_notes(slices: list[Slice], where: Path) -> tuple[str, ...]:
    """Collect a note on intercepts that differ; raise if some slices have one and others none."""
    for index, (word, default) in enumerate((("slope", 1.0), ("intercept", 0.0))):
        known = [s.rescale[index] for s in slices if s.rescale[index] is not None]
        if known and len(known) < len(slices) and set(known) != {default}:
            raise InputError(
                f"slices without rescale {word}",
                where=where,
                found=f"{len(slices) - len(known)} of {len(slices)} slices",
                expected="one in each slice, or in none",
                hint="HU would differ between slices: export the series again",
            )
    intercepts = sorted({s.rescale[1] for s in slices if s.rescale[1] is not None})
    if len(intercepts) > 1:
        return (f"rescale intercepts differ between slices: {intercepts[0]:g} to {intercepts[-1]:g}",)
    return ()


def _require_even(slices: list[Slice], where: Path) -> None:
    gaps = np.diff([float(s.normal @ s.position) for s in slices])
    usual = float(np.median(gaps))
    doubled = np.flatnonzero(gaps < 0.01)
    if len(doubled):
        positions = len(slices) - len(doubled)
        raise InputError(
            "several slices at one position",
            where=where,
            found=f"{len(slices)} slices at {positions} positions, first at {_place(slices[int(doubled[0])])}",
            expected="one slice per position",
            hint="this looks like a 4-D series: keep one phase in the folder",
        )
    # Headers round positions, often to 0.1 mm: what is allowed is that, or a tenth of a gap.
    uneven = np.flatnonzero(np.abs(gaps - usual) > max(0.1, 0.1 * usual))
    if len(uneven):
        raise _uneven_error(slices, gaps, usual, uneven, where)
    _require_straight(slices, where)


def _uneven_error(slices: list[Slice], gaps: NDArray, usual: float, uneven: NDArray, path: Path) -> InputError:
    first = int(uneven[0])
    multiple = gaps[first] / usual
    missing = multiple > 1.5 and abs(multiple - round(multiple)) < 0.15
    others = len(uneven) - 1
    return InputError(
        f"{round(multiple) - 1} missing slice(s)" if missing else "slices are not evenly spaced",
        where=f"{path}, between {_place(slices[first])} and {_place(slices[first + 1])}"
        + (f" and {others} other place{'s' * (others > 1)}" if others else ""),
        found=f"a gap of {gaps[first]:.4g} mm",
        expected=f"{usual:.4g} mm",
        hint="copy the whole series again" if missing else "resample it to even spacing first",
    )


def _require_straight(slices: list[Slice], where: Path) -> None:
    positions = np.array([s.position for s in slices])
    line = positions[0] + np.linspace(0, 1, len(slices))[:, None] * (positions[-1] - positions[0])
    offset = np.linalg.norm(positions - line, axis=1)
    worst = int(np.argmax(offset))
    allowed = max(0.5, 0.5 * float(np.linalg.norm(positions[1] - positions[0])))
    if offset[worst] > allowed:
        raise InputError(
            "slices do not lie along a line",
            where=f"{where}, at {_place(slices[worst])}",
            found=f"{offset[worst]:.2f} mm off",
            expected=f"at most {allowed:.2f} mm",
        )


def _place(image: Slice) -> str:
    """Position of a slice along the world axis nearest to its normal, e.g. ``S -788.5 mm``."""
    axis = int(np.argmax(np.abs(image.normal)))
    ras = _RAS_FROM_LPS[:3, :3] @ image.position
    return f"{'RAS'[axis]} {ras[axis]:.4g} mm"


def affine(slices: list[Slice], where: Path) -> Affine:
    """Affine from (column, row, slice) to RAS+ mm; a tilted gantry makes it sheared, which is preserved."""
    first, last = slices[0], slices[-1]
    row_mm, column_mm = first.spacing
    lps = np.eye(4)
    lps[:3, 0] = first.orientation[:3] * column_mm
    lps[:3, 1] = first.orientation[3:] * row_mm
    lps[:3, 2] = (last.position - first.position) / (len(slices) - 1)
    lps[:3, 3] = first.position
    return checks.require_affine(_RAS_FROM_LPS @ lps, where)
