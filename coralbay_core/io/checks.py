"""Checks shared by all readers and writers: some raise an error, others add a note for the user."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..spatial import Grid, geometry
from ..spatial.geometry import Affine

_PLAUSIBLE_SPACING_MM = (0.05, 20.0)
_LARGEST_SCAN_MM = 10_000
# Scanners count from their isocenter; beyond this, float32 headers hold no fractions of a voxel.
_FARTHEST_MM = 1e6
_SHEAR_NOTE_DEGREES = 0.1
_OBLIQUE_NOTE_DEGREES = 1.0
# CT images have at most 16 bits; counts of PET in Bq/ml reach some hundred millions, and what marks the outside of a
# field of view (1e20, the end of a float's range) lies beyond them.
_LARGEST_HU, _LARGEST_OTHER = 100_000, 1e9
# Without a modality they are taken for HU.
_IN_HU = ("CT", "unknown")
_NEARLY_WHOLE = 1e-3
_REPAIR_HINT = "repair the sform or qform of the header"


def require_3d(shape: tuple[int, ...], where: object) -> tuple[int, int, int]:
    """Shape without trailing axes of length 1; raise unless it is a volume with at least 2 voxels along each axis."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    found = " x ".join(map(str, shape)) or "nothing"
    if len(shape) > 3:
        raise InputError(
            f"{len(shape)}-D image", where=where, found=found, expected="a 3-D volume", hint="split it into 3-D files"
        )
    if len(shape) < 3:
        raise InputError(f"{len(shape)}-D image", where=where, found=found, expected="a 3-D volume")
    if min(shape) < 2:
        raise InputError("a single slice", where=where, found=found, expected="at least 2 voxels along each axis")
    return shape  # type: ignore[return-value]


def require_affine(affine: Affine | None, where: object) -> Affine:
    """Return the affine as float64; raise unless it is finite and invertible."""
    if affine is None:
        raise InputError("no affine", where=where, expected="a finite, invertible matrix")
    affine = np.asarray(affine, np.float64)
    if not np.isfinite(affine).all():
        raise InputError("affine has NaN or infinite entries", where=where, hint=_REPAIR_HINT)
    if np.abs(affine[:3]).max() > _FARTHEST_MM:
        raise InputError(
            "implausible size or position",
            where=where,
            found=f"{np.abs(affine[:3]).max():g} mm in the affine",
            expected=f"at most {_FARTHEST_MM:g} mm",
            hint="are the units of the file mm?",
        )
    lengths = geometry.spacing(affine)
    # Relative to the lengths, so that the bound is one on the angles between the axes.
    if lengths.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
        raise InputError(
            "singular affine",
            where=where,
            found=f"voxel axes of {', '.join(f'{v:g}' for v in lengths)} mm in one plane",
            expected="three independent axes",
            hint=_REPAIR_HINT,
        )
    return affine


def require_same_grid(grid: Grid, expected: Grid, where: object, within_voxels: float = 0.05) -> None:
    """Raise unless all voxels of both grids have the same positions."""
    if grid.shape != expected.shape:
        raise InputError(
            "labels and CT have different shapes",
            where=where,
            found=" x ".join(map(str, grid.shape)),
            expected=" x ".join(map(str, expected.shape)) + " (z, y, x)",
            hint="draw them on this CT, or resample them to its grid",
        )
    distance = np.linalg.norm(grid.corner_positions - expected.corner_positions, axis=1).max()
    if distance > within_voxels * expected.spacing_mm.min():
        raise InputError(
            "labels and CT lie at different places",
            where=where,
            found=f"corners {distance:.2f} mm apart",
            expected="the same affine",
            hint="draw them on this CT, or resample them to its grid",
        )


def require_map(data: ArrayLike, shape: tuple[int, int, int], where: object) -> NDArray:
    """Convert an array for writing: float32, an integer type of NIfTI, or RGB in uint8."""
    data = np.asarray(data)
    is_rgb = data.ndim == 4 and data.shape[-1] == 3 and data.dtype == np.uint8
    if data.shape[:3] != shape or not (data.ndim == 3 or is_rgb):
        raise InputError(
            "map does not fit the volume",
            where=where,
            found=f"{data.dtype} of {data.shape}",
            expected=f"{shape}, or {(*shape, 3)} in uint8",
        )
    if np.issubdtype(data.dtype, np.integer):
        return smallest_integers(data) if data.dtype.itemsize == 8 else data
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if np.issubdtype(data.dtype, np.floating):
        return data.astype(np.float32, copy=False)
    raise InputError("cannot be stored in NIfTI", where=where, found=data.dtype, expected="integers or floats")


def smallest_integers(data: NDArray, where: object = None) -> NDArray:
    """Convert whole numbers to the smallest common integer type; values are unchanged."""
    low, high = int(data.min()), int(data.max())
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64):
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return data.astype(dtype)
    raise InputError("label values out of range", where=where, found=f"{low}..{high}", expected="64-bit integers")


def whole(data: NDArray, where: object) -> tuple[NDArray, tuple[str, ...]]:
    """Convert nearly whole numbers to integers, with a note if they were rounded; raise for others."""
    if np.issubdtype(data.dtype, np.integer):
        return data, ()
    rounded = np.rint(data)
    with np.errstate(invalid="ignore"):
        off = float(np.abs(data - rounded).max())
    if not off <= _NEARLY_WHOLE:  # NaN and infinity, too
        raise InputError("label map has non-integer values", where=where, found=data.dtype, expected="whole numbers")
    notes = (f"values up to {off:.1g} from whole numbers were rounded",) if off else ()
    return smallest_integers(rounded, where), notes


def contiguous(data: NDArray) -> NDArray:
    """C-contiguous array in native byte order, as torch requires.

    An array of a reader that only has to be flipped is flipped in place: a copy of a large scan would need its memory
    twice. `data` must not be used afterwards.
    """
    forward = data[tuple(slice(None, None, -1 if step < 0 else 1) for step in data.strides)]
    in_place = forward.flags.c_contiguous and forward.flags.writeable and data.dtype.isnative
    if not in_place or data.flags.c_contiguous or data.ndim != 3:
        return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    inner = tuple(slice(None, None, -1 if step < 0 else 1) for step in data.strides[1:])
    for plane in forward:
        plane[...] = plane[inner].copy()
    if data.strides[0] < 0:
        for number in range(len(forward) // 2):
            last = forward[-1 - number].copy()
            forward[-1 - number] = forward[number]
            forward[number] = last
    return forward


def compact(data: NDArray) -> NDArray:
    """Convert finite data to int16 if that preserves every value, else to float32."""
    info = np.iinfo(np.int16)
    if data.dtype == np.int16:
        return data
    if data.min() < info.min or data.max() > info.max:
        return data.astype(np.float32, copy=False)
    if np.issubdtype(data.dtype, np.integer) or all(np.array_equal(part, np.rint(part)) for part in data):
        return data.astype(np.int16)
    return data.astype(np.float32, copy=False)


def replace_implausible(data: NDArray, where: object, modality: str = "CT") -> tuple[NDArray, tuple[str, ...]]:
    """Replace NaN, infinity and implausible values by the lowest other value, usually air; note their number.

    Files that mark "outside the field of view" by NaN or by the end of a number's range are common and the rest of
    such a scan is sound, so this is no error; but in the network such a value would spread over the whole feature map.
    Other modalities than CT have larger values, which are kept.
    """
    largest = _LARGEST_HU if modality in _IN_HU else _LARGEST_OTHER
    low, high = data.min(), data.max()  # NaN if any value is
    if low >= -largest and high <= largest:
        return data, ()
    plausible = (data >= -largest) & (data <= largest)
    beyond = f"beyond +-{largest:.0f}"
    if not plausible.any():
        expected = "Hounsfield units" if modality in _IN_HU else f"values of {modality}"
        raise InputError(
            "no voxel has a value", where=where, found=f"only NaN, infinity or values {beyond}", expected=expected
        )
    lowest = data[plausible].min()
    count = int(plausible.size - np.count_nonzero(plausible))
    unit = " HU" if modality in _IN_HU else ""
    note = (
        f"{count} voxels ({count / plausible.size:.2g} of all) were NaN, infinite or {beyond} "
        f"and were set to {lowest:g}{unit}"
    )
    return np.where(plausible, data, lowest), (note,)


def shear_degrees(affine: Affine) -> float:
    """Largest deviation of the angles between the voxel axes from 90 degrees."""
    directions = affine[:3, :3] / geometry.spacing(affine)
    cosines = np.abs(directions.T @ directions)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))


def is_plausible_spacing(affine: Affine) -> bool:
    """Whether all voxel axes have a length that CTs have."""
    spacing = geometry.spacing(affine)
    return bool(_PLAUSIBLE_SPACING_MM[0] <= spacing.min() and spacing.max() <= _PLAUSIBLE_SPACING_MM[1])


def require_size(grid: Grid, where: object) -> None:
    """Raise for a grid that no patient fills: its model grid would fill the memory."""
    size_mm = grid.spacing_mm * grid.shape
    if size_mm.max() > _LARGEST_SCAN_MM:
        raise InputError(
            "implausible size of a scan",
            where=where,
            found=" x ".join(f"{mm:.3g}" for mm in size_mm) + " mm",
            expected=f"at most {_LARGEST_SCAN_MM} mm",
            hint="are the units of the file mm?",
        )


def geometry_notes(affine: Affine) -> tuple[str, ...]:
    """Collect notes on shear, rotation and spacing."""
    notes = []
    spacing, shear, oblique = geometry.spacing(affine), shear_degrees(affine), geometry.obliqueness_degrees(affine)
    if shear > _SHEAR_NOTE_DEGREES:
        notes.append(f"slices are sheared by {shear:.1f} degrees (tilted gantry); the true sheared grid is kept")
    elif oblique > _OBLIQUE_NOTE_DEGREES:
        notes.append(f"axes are rotated by {oblique:.1f} degrees; the true oblique grid is kept")
    if not is_plausible_spacing(affine):
        voxel = " x ".join(f"{v:.3g}" for v in spacing)
        notes.append(f"a voxel of {voxel} mm is unusual: are the units of the file mm?")
    return tuple(notes)


def value_notes(data: NDArray, modality: str) -> tuple[str, ...]:
    """Collect notes on a modality other than CT and on values that are unlikely to be Hounsfield units."""
    low, high = data.min(), data.max()
    if modality != "CT":
        return (f"modality is {modality}, not CT: values are not Hounsfield units",)
    if low == high:
        return (f"all voxels have the same value ({low:g})",)
    if low >= 0:
        return (
            f"values {low:g}..{high:g} do not look like Hounsfield units: none is below 0 "
            "(was a rescale intercept, often -1024, lost?)",
        )
    return ()
