"""NRRD and MetaImage files, through SimpleITK."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial.geometry import Affine
from ..util.extras import import_extra
from . import checks, itk_headers
from .raw import RawVolume

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")


def looks_like(path: Path) -> bool:
    """Whether the name is that of a NRRD or MetaImage file; `read` checks the content."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def read(path: Path) -> RawVolume:
    """Read a CT; results of it are written as NIfTI."""
    data, affine, place_notes = _read(path)
    data, notes = checks.replace_implausible(data, path)
    return RawVolume(checks.compact(data), affine, None, "CT", place_notes + notes)


def read_labels(path: Path) -> RawVolume:
    """Read a label map; whole numbers stored as floats are accepted."""
    data, affine, place_notes = _read(path)
    data, notes = checks.whole(data, path)
    return RawVolume(data, affine, notes=place_notes + notes)


def _read(path: Path) -> tuple[NDArray, Affine, tuple[str, ...]]:
    """Values as in the file, their affine to RAS+ mm, and notes on the position."""
    image = open_image(path)
    data, affine = of_image(image, path)
    return data, affine, _place_notes(path, image)


def of_image(image: Any, where: Path | str) -> tuple[NDArray, Affine]:
    """Take the values of a SimpleITK image, first index first, and their affine to RAS+ mm."""
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            "not a scalar image",
            where=where,
            found=f"{image.GetNumberOfComponentsPerPixel()} numbers per voxel",
            expected="one number per voxel",
        )
    shape = checks.require_3d(image.GetSize(), where)
    affine = checks.require_affine(affine_of(image), where)
    # SimpleITK's arrays begin with the slowest axis, its sizes with the fastest.
    return import_sitk().GetArrayFromImage(image).transpose().reshape(shape, order="F"), affine


def open_image(path: Path) -> Any:
    """Read an image of SimpleITK, after a check of its header."""
    sitk = import_sitk()
    itk_headers.check(path)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError("not a readable image", where=path, found=_short(error), hint="copy it again") from error


def affine_of(image: Any) -> np.ndarray:
    """Index to RAS+ mm; ITK's own world is LPS."""
    dimensions = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimensions, dimensions)[:3, :3]
    affine = np.eye(4)
    # Directions only: in a MetaImage they need not be of length 1, which would change the spacing. ITK refuses singular
    # ones; the squares of very large or small numbers would be infinite or 0.
    direction /= np.abs(direction).max(0)
    affine[:3, :3] = direction / np.linalg.norm(direction, axis=0) * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = np.array(image.GetOrigin())[:3]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _place_notes(path: Path, image: Any) -> tuple[str, ...]:
    """Collect notes on a missing position, which is optional in NRRD files."""
    if path.suffix.lower() in (".nrrd", ".nhdr") and not image.HasMetaDataKey("NRRD_space"):
        return ("no space in the header: position and left/right are guesses",)
    return ()


def import_sitk() -> Any:
    """Import SimpleITK, or raise with the line that installs it."""
    sitk = import_extra("itk", "SimpleITK", need="NRRD, MetaImage and transforms need")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they would go to stderr, past our own notes
    return sitk


def _short(error: Exception) -> str:
    """Error message of ITK, without the position in its source code."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2][:120] if lines else type(error).__name__
