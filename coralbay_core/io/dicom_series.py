"""Search for the image series of a folder, which may hold other DICOM objects, too."""

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CoralBayError, InputError
from .dicom_deflated import require_bounded
from .dicom_files import is_dicom, regular_files, unread
from .dicom_numbers import numbers, required, whole

_HEADER_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "Modality",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "StudyInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
]
DICOMDIR = "DICOMDIR"
_PLACE = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))


def series_key(uid: str) -> str:
    """Hash of a UID, for files that are handed on: the UID leads to its patient, and may contain a date."""
    return blake2b(uid.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class SeriesInfo:
    """One image series of a folder.

    Parameters
    ----------
    uid : str
        Series instance UID.
    description, modality : str
    n_slices : int
    shape : tuple of int
        ``(slices, rows, columns)``.
    """

    uid: str
    description: str
    modality: str
    n_slices: int
    shape: tuple[int, int, int]

    @property
    def key(self) -> str:
        """`series_key` of the UID."""
        return series_key(self.uid)

    def __str__(self) -> str:
        words = [self.modality, f"'{self.description}'" if self.description else "", " x ".join(map(str, self.shape))]
        return f"{self.uid} ({', '.join(word for word in words if word)})"


@dataclass(frozen=True, eq=False)
class Slice:
    """Header of one image; positions in DICOM's LPS mm.

    `orientation` is of unit vectors, `rescale` slope and intercept as far as stated, `remark` what was repaired.
    """

    path: Path
    uid: str
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]
    rescale: tuple[float | None, float | None] = (None, None)
    remark: str = ""

    @property
    def normal(self) -> NDArray[np.float64]:
        """Normal of the slice, a unit vector in LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True, eq=False)
class Scan:
    """Contents of a folder: image series, their slices, the number of other objects, and notes on what is left out."""

    series: list[SeriesInfo]
    slices: dict[str, list[Slice]]
    ignored: Counter[str]
    left_out: tuple[str, ...] = ()


def scan(folder: Path) -> Scan:
    """Scan a folder and its subfolders; files that are not DICOM are ignored."""
    return scan_files(regular_files(folder.rglob("*")) if folder.is_dir() else [folder])


def scan_around(path: Path, wanted: str | None) -> tuple[Scan, SeriesInfo]:
    """Find the series of a folder or of one of its files, and the other contents of the folder."""
    if path.name.upper() == DICOMDIR and path.is_file():  # the index of a disk: the files lie beside and below it
        path = path.parent
    if path.is_dir():
        scanned = scan(path)
        return scanned, _choose(scanned, wanted, path)
    if not is_dicom(path):
        raise InputError(
            "not a CT file",
            where=path,
            found="neither NIfTI nor DICOM",
            expected=".nii, .nii.gz, .nrrd, .mha or a DICOM series",
        )
    own = scan_files([path])
    if not own.series:
        raise InputError(
            "not a CT slice", where=path, found=_inventory(own), hint="give a CT slice, or the folder of the series"
        )
    scanned = scan_files(regular_files(path.parent.iterdir()))
    uid = next(uid for uid, slices in scanned.slices.items() if path in [image.path for image in slices])
    info = next(info for info in scanned.series if info.uid == uid)
    if wanted is not None and wanted != info.key and wanted not in uid:
        raise InputError("file belongs to another series", where=path, found=uid, expected=wanted)
    return scanned, info


def scan_files(paths: Iterable[Path]) -> Scan:
    """`scan` of chosen files."""
    paths = [path for path in paths if path.name.upper() != DICOMDIR and not path.name.startswith(".")]
    infos: dict[str, tuple[str, str]] = {}
    slices: dict[str, list[Slice]] = {}
    ignored: Counter[str] = Counter()
    unnamed: dict[tuple[str, ...], str] = {}
    found = [path for path in paths if is_dicom(path)]
    with lenient() if found else nullcontext():
        for path in found:
            header = _header(path)
            other = _not_a_slice(path, header)
            if other:
                ignored[other] += 1
                continue
            uid = _text(header, "SeriesInstanceUID") or _uid_of_unnamed(path, header, unnamed)
            infos.setdefault(uid, (_text(header, "SeriesDescription"), _text(header, "Modality") or "unknown"))
            slices.setdefault(uid, []).append(_slice(path, header))
    series = [SeriesInfo(uid, *infos[uid], len(s), (len(s), *s[0].shape)) for uid, s in slices.items()]
    return Scan(sorted(series, key=lambda info: (-info.n_slices, info.uid)), slices, ignored, unread(paths))


def _uid_of_unnamed(path: Path, header: Any, known: dict[tuple[str, ...], str]) -> str:
    """Name a series whose UID was stripped, so that scans that merely adjoin are not taken for one."""
    traits = ("StudyInstanceUID", "SeriesNumber", "FrameOfReferenceUID", "SeriesDescription", "Modality")
    key = (str(path.parent), *(_text(header, trait) for trait in traits))
    return known.setdefault(key, f"unknown {len(known) + 1}" if known else "unknown")


def _text(header: Any, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip()
    except Exception:  # pydicom raises many kinds for a damaged element
        return ""


def _header(path: Path) -> Any:
    import pydicom

    try:
        require_bounded(path)
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER_TAGS, force=True)
    except CoralBayError:
        raise
    except Exception as error:  # pydicom raises many kinds for a damaged file
        raise _damaged(path, error) from error


def _not_a_slice(path: Path, header: Any) -> str:
    """Kind of a DICOM object that is not a slice of a volume; empty for a slice."""
    modality = _text(header, "Modality")
    if not whole(header, "Rows", path, 0):
        return modality or "unknown (damaged?)"
    if "LOCALIZER" in _text(header, "ImageType"):
        return "localizer"
    if whole(header, "NumberOfFrames", path, 1) > 1:
        return f"multi-frame {modality or 'unknown'}"
    if whole(header, "SamplesPerPixel", path, 1) != 1:
        return "color image"
    if any(numbers(header, keyword, n, path) is None for keyword, n in _PLACE):
        return f"{modality or 'unknown'} image without position"
    return ""


def _slice(path: Path, header: Any) -> Slice:
    position, orientation, spacing = (required(header, keyword, n, path) for keyword, n in _PLACE)
    lengths = np.linalg.norm(orientation.reshape(2, 3), axis=1)
    if min(*lengths, *spacing) <= 0:
        raise InputError(
            "unreadable DICOM header",
            where=path,
            found=f"spacing {spacing.tolist()}, orientation {orientation.tolist()}",
            expected="spacing above 0 and directions of length 1",
            hint="repair the header or export the series again",
        )
    off = float(np.abs(lengths - 1).max())
    slope, intercept = (numbers(header, keyword, 1, path) for keyword in ("RescaleSlope", "RescaleIntercept"))
    return Slice(
        path,
        _text(header, "SOPInstanceUID"),
        position,
        (orientation.reshape(2, 3) / lengths[:, None]).reshape(6),
        (float(spacing[0]), float(spacing[1])),
        (whole(header, "Rows", path, 0), whole(header, "Columns", path, 0)),
        (None if slope is None else float(slope[0]), None if intercept is None else float(intercept[0])),
        "image orientations are not of length 1: only their directions are used" if off > 0.01 else "",
    )


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError("unreadable DICOM header", where=path, found=one_line(error), hint="copy the file again")


def _choose(scanned: Scan, wanted: str | None, where: Path) -> SeriesInfo:
    if not scanned.series:
        raise InputError("no CT series in the folder", where=where, found=_inventory(scanned), hint=_advice(scanned))
    if wanted is not None:
        named = [s for s in scanned.series if wanted in (s.uid, s.key)]
        found = named or [s for s in scanned.series if wanted in s.uid]
        if len(found) != 1:
            raise _several(f"--series {wanted} fits {len(found)} series", scanned.series, where)
        return found[0]
    # A lone image beside a stack (a scout, a dose report) is no rival.
    stacks = [s for s in scanned.series if s.n_slices > 1] or scanned.series
    if len(stacks) > 1:
        raise _several("several series in the folder", stacks, where)
    return stacks[0]


def _several(what: str, series: list[SeriesInfo], where: Path) -> InputError:
    return InputError(
        what,
        where=where,
        found=f"{len(series)}: " + "; ".join(map(str, series)),
        expected="one",
        hint="choose one with --series UID (a unique part of the UID is enough)",
    )


def _inventory(scanned: Scan) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(scanned.ignored.items())) or "no DICOM file"


def _advice(scanned: Scan) -> str:
    if any(kind.startswith("multi-frame") for kind in scanned.ignored):
        return "multi-frame DICOM is not read: convert it with dcm2niix"
    return "give a folder of DICOM slices, or a .nii or .nii.gz file"


def ignored_notes(scanned: Scan) -> tuple[str, ...]:
    """Collect notes on the contents of the folder that were not read."""
    counts = sorted(scanned.ignored.items())
    notes = [f"ignored {n} {kind} object{'s' * (n > 1)} beside the series" for kind, n in counts]
    others = len(scanned.series) - 1
    if others:
        notes.append(f"{others} other series in the folder were not read")
    return (*notes, *scanned.left_out)


def lenient() -> AbstractContextManager[None]:
    """Context in which pydicom does not warn of values that the standard forbids, such as a UID "anonymized"."""
    from pydicom import config

    return config.disable_value_validation()


def one_line(error: Exception) -> str:
    """First line of the error message of another library."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
