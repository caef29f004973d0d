"""Common parts of DICOM exports: the referenced series, and the minimum of patient data that DICOM requires.

An object has to name its patient and study to be filed with them, and the images and frame of reference that it lies
in. The patient's ID and these identifiers are copied; name, birth date, sex, physicians, dates and institutions are
not.
"""

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume, SourceGrid
from ..spatial.label_colors import Color
from ..util.atomic_file import atomic_path
from . import checks, dicom_geometry
from .dicom_series import Slice, lenient, scan_around

MANUFACTURER = "CoralBay"
SERIES_NUMBER = 900
CHARACTER_SET = "ISO_IR 192"
MOST_LABELS = 1000
_REFERENCES = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_IMAGE = (
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "InstanceNumber",
    "Modality",
)
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
# Type 2 of the patient and study modules: they have to be there, and may be empty.
_EMPTY = (
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)


@dataclass(frozen=True, eq=False)
class LabeledSeries:
    """A label map on the images of a series.

    Parameters
    ----------
    images : list of pydicom Dataset
        Headers in the order of the slices, with nothing in them but references and geometry.
    labels : (slice, row, column) int array
    source : SourceGrid
        Grid of the series; its affine maps ``(column, row, slice)`` to RAS+ mm.
    names : dict of int to str
        Names of the values that occur.
    colors : dict of int to (int, int, int)
        Colors of the values, if known.
    """

    images: list[Any]
    labels: NDArray[np.integer]
    source: SourceGrid
    names: dict[int, str]
    colors: dict[int, Color] = field(default_factory=dict)

    @property
    def values(self) -> list[int]:
        """Label values, in the order of their names."""
        return list(self.names)


def labeled_series(labels: LabelVolume, folder: Path, series: str | None = None) -> LabeledSeries:
    """Lay a label map over the DICOM series that it was made on.

    Parameters
    ----------
    labels : LabelVolume
        As read from NIfTI; a different order or direction of the axes is turned without loss.
    folder : Path
        Folder of the series, or a file of it.
    series : str, optional
        As in `load_volume`.
    """
    scanned, info = scan_around(folder, series)
    slices, _ = dicom_geometry.ordered(scanned.slices[info.uid], folder)
    rows, columns = slices[0].shape
    source = SourceGrid.of((columns, rows, len(slices)), dicom_geometry.affine(slices, folder))
    turned = labels.grid.orientation
    checks.require_same_grid(turned.grid, source.grid, labels.path or labels.name)
    values = [int(v) for v in np.unique(labels.data) if v]
    if not values or min(values) < 0 or len(values) > MOST_LABELS:
        raise InputError(
            "nothing to export", where=labels.path, found=f"values {values[:10]}", expected="labels above 0"
        )
    names = {value: _one_value(labels.names.get(value, "")) or f"label {value}" for value in values}
    gap = float(np.linalg.norm(slices[1].position - slices[0].position))
    images = [_bare(image, gap) for image in slices]
    if len({image.SOPInstanceUID for image in images}) < len(images):
        raise _not_referable(folder, "one SOPInstanceUID for several images")
    data = source.to_file(turned.from_file(labels.data)).transpose(2, 1, 0)
    return LabeledSeries(images, data, source, names, {v: labels.colors[v] for v in values if v in labels.colors})


def _bare(image: Slice, gap_mm: float) -> Any:
    """Header of an image with references and geometry alone; the thickness, if absent, is the slice distance."""
    import pydicom

    with lenient():
        known = pydicom.dcmread(image.path, stop_before_pixels=True, force=True, specific_tags=[*_REFERENCES, *_IMAGE])
        bare = pydicom.Dataset()
        bare.file_meta = pydicom.dataset.FileMetaDataset()
        # Of all exported text; that of the source depends on a declaration of its own, or lacks one.
        bare.SpecificCharacterSet = CHARACTER_SET
        _restore_undeclared(known)
        for keyword in _REFERENCES + _IMAGE:
            if keyword in known and keyword not in _PLACE:
                setattr(bare, keyword, getattr(known, keyword))
        places = (image.position, image.orientation, np.array(image.spacing))
        for keyword, values in zip(_PLACE, places, strict=True):
            # As written, unless that had to be repaired: the sixteen characters of a number lose digits.
            sound = not image.remark and b"," not in bytes(known.get_item(keyword).value)
            setattr(bare, keyword, getattr(known, keyword) if sound else [f"{v:.10g}" for v in values])
        for keyword in _EMPTY:
            setattr(bare, keyword, "")
    lacking = [k for k in (*_REFERENCES[1:], "FrameOfReferenceUID") if not bare.get(k)]
    if lacking:
        raise _not_referable(image.path, f"no {', '.join(lacking)}")
    if not bare.get("SliceThickness"):
        bare.SliceThickness = gap_mm
    if "PatientID" not in bare:
        bare.PatientID = ""
    return bare


def _not_referable(where: Path, found: str) -> InputError:
    return InputError(
        "series cannot be referenced",
        where=where,
        found=found,
        expected="the identifiers that DICOM requires",
        hint="were they stripped? export NIfTI instead",
    )


def _restore_undeclared(known: Any) -> None:
    """Read an ID in UTF-8 that no character set was declared for; pydicom would read it as Latin-1."""
    element = known.get_item("PatientID")
    if known.get("SpecificCharacterSet") or element is None or not isinstance(element.value, bytes):
        return
    try:
        text = element.value.decode("utf-8")
    except UnicodeDecodeError:
        return
    known.PatientID = text.strip("\0 ")


def _one_value(name: str) -> str:
    """Name as a single value of an element: there a backslash separates values, and control characters are invalid."""
    return " ".join("".join(c if c.isprintable() else " " for c in name.replace("\\", "/")).split())


def software_version() -> str:
    """Version of the package as installed."""
    try:
        return version("coralbay")
    except PackageNotFoundError:
        return "unknown"


def save(dataset: Any, path: Path) -> Path:
    """Write an object atomically."""
    with atomic_path(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return path
