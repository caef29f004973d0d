"""Place in the patient of an image that a viewer got from elsewhere: its transform, and answers about its axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.errors import InputError
from coralbay_core.spatial import geometry
from coralbay_core.spatial.geometry import Affine

DIRECTIONS = {
    "S": "Superior (head)",
    "I": "Inferior (feet)",
    "P": "Posterior (back)",
    "A": "Anterior (front)",
    "L": "Left",
    "R": "Right",
}
"""Directions in the patient, by axis code."""

PRESETS: dict[str, tuple[str | None, str | None, str | None]] = {
    "slices from feet to head, as DICOM rows and columns": ("S", "P", "L"),
    "slices from head to feet, as DICOM rows and columns": ("I", "P", "L"),
    "array of NIfTI in RAS": ("R", "A", "S"),
    "array of NIfTI in LPS": ("L", "P", "S"),
    "slices from feet to head, left and right not known": ("S", "P", None),
}
"""Frequent answers: directions of the three array axes."""

_AXES = {"S": "S", "I": "S", "P": "A", "A": "A", "L": "R", "R": "R"}  # world axis of RAS
# What a viewer draws unmirrored: the directions of napari's world here.
_FILLED = {"S": "S", "A": "P", "R": "L"}


@dataclass(frozen=True)
class Answers:
    """Answers about an image whose transform tells nothing about the patient.

    Parameters
    ----------
    directions : three of `DIRECTIONS` or None
        Direction in which each array axis grows; None where it is not known.
    spacing_mm : three floats
        Between the voxels along each array axis.
    unit_mm : float
        Length of the unit in which the image was placed.
    """

    directions: tuple[str | None, str | None, str | None]
    spacing_mm: tuple[float, float, float]
    unit_mm: float = 1.0


@dataclass(frozen=True, eq=False)
class Placement:
    """Place of an image in the patient.

    Parameters
    ----------
    affine : (4, 4) array
        Array index to RAS+ mm.
    from_layer : (4, 4) array
        World of the image's viewer to RAS+ mm, also for labels that were drawn on it.
    known_axes : str
        As in `Volume`.
    """

    affine: Affine
    from_layer: Affine
    known_axes: str


def place(data_to_world: ArrayLike, answers: Answers) -> Placement:
    """Place an image in the patient: rotation and shear are those of its transform, directions the given ones.

    Parameters
    ----------
    data_to_world : (4, 4) array
        Array index to the world of the viewer.
    answers : Answers
    """
    transform = np.asarray(data_to_world, float)
    if not np.isfinite(transform).all() or abs(np.linalg.det(transform)) < 1e-12:
        raise InputError("image has no usable transform", found=np.array2string(transform, precision=3))
    if not all(np.isfinite(mm) and mm > 0 for mm in answers.spacing_mm):
        raise InputError("unusable spacing", found=answers.spacing_mm, expected="three numbers of mm above 0")
    turn = _world_to_patient(transform, completed(answers.directions))
    affine = np.eye(4)
    unit_axes = transform[:3, :3] / geometry.spacing(transform)
    affine[:3, :3] = turn @ unit_axes * np.asarray(answers.spacing_mm)
    affine[:3, 3] = turn @ transform[:3, 3] * answers.unit_mm
    known = {_AXES[code] for code in answers.directions if code is not None}
    return Placement(affine, affine @ np.linalg.inv(transform), "".join(axis for axis in "RAS" if axis in known))


def completed(directions: Sequence[str | None]) -> tuple[str, str, str]:
    """Fill in unknown directions, so that the image is drawn as its viewer draws it; raise if two exclude each other.

    What is filled in is arbitrary, and must be shown nowhere.
    """
    known = [_AXES[code] for code in directions if code is not None]
    if len(set(known)) < len(known):
        names = ", ".join(DIRECTIONS[code] for code in directions if code is not None)
        raise InputError("two axes run along one line of the patient", found=names, hint="choose another direction")
    free = [axis for axis in "SAR" if axis not in known]
    first, second, third = (_FILLED[free.pop(0)] if code is None else code for code in directions)
    return first, second, third


def _world_to_patient(transform: Affine, codes: Sequence[str]) -> NDArray[np.float64]:
    """Signed permutation from the axes of the viewer's world to R, A and S."""
    axes, signs = geometry.nearest_axes(transform)
    turn = np.zeros((3, 3))
    for axis, sign, code in zip(axes, signs, codes, strict=True):
        row = "RAS".index(_AXES[code])
        turn[row, axis] = sign if code in "RAS" else -sign
    return turn


def directions_of_labels(names: Sequence[str], data_to_world: ArrayLike) -> tuple[str, str, str] | None:
    """Directions of the array axes where the world's axes are named by their directions, such as S, P, L; or None."""
    codes = [_named(name) for name in names]
    if len(codes) != 3 or None in codes or len({_AXES[code] for code in codes if code}) < 3:
        return None
    axes, signs = geometry.nearest_axes(np.asarray(data_to_world, float))
    opposite = dict(zip("SIPALR", "ISAPRL", strict=True))
    first, second, third = (
        str(codes[axis]) if sign > 0 else opposite[str(codes[axis])] for axis, sign in zip(axes, signs, strict=True)
    )
    return first, second, third


def _named(name: str) -> str | None:
    """Axis code of a name: a capital letter, or the word for the direction."""
    if name in DIRECTIONS:
        return name
    words = {text.split(" ")[0].lower(): code for code, text in DIRECTIONS.items()}
    return words.get(name.lower())
