"""Search for the image series of a folder, which may hold other DICOM objects, too."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError

INSTALL_HINT = 'pip install "coralbay[dicom]"'
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
]


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

    def __str__(self) -> str:
        words = [self.modality, f"'{self.description}'" if self.description else "", " x ".join(map(str, self.shape))]
        return f"{self.uid} ({', '.join(word for word in words if word)})"


@dataclass(frozen=True, eq=False)
class Slice:
    """Header of one image; positions in DICOM's LPS mm."""

    path: Path
    uid: str
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Normal of the slice, a unit vector in LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True, eq=False)
class Scan:
    """Contents of a folder: image series with their slices, and the number of other files."""

    series: list[SeriesInfo]
    slices: dict[str, list[Slice]]
    ignored: Counter[str]


def scan(folder: Path) -> Scan:
    """Scan a folder and its subfolders; files that are not DICOM are ignored."""
    return scan_files(sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder])


def is_dicom(path: Path) -> bool:
    """Whether a file starts like DICOM, with the usual preamble or directly with a tag of group 8."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:] == b"DICM" or (head[:2] == b"\x08\x00" and len(head) == 132)


def scan_around(path: Path, wanted: str | None) -> tuple[Scan, SeriesInfo]:
    """Find the series of a folder or of one of its files, and the other contents of the folder."""
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
    uid = own.series[0].uid
    if wanted is not None and wanted not in uid:
        raise InputError("file belongs to another series", where=path, found=uid, expected=wanted)
    scanned = scan_files(sorted(p for p in path.parent.iterdir() if p.is_file()))
    return scanned, next(info for info in scanned.series if info.uid == uid)


def scan_files(paths: Iterable[Path]) -> Scan:
    """`scan` of chosen files."""
    infos: dict[str, tuple[str, str]] = {}
    slices: dict[str, list[Slice]] = {}
    ignored: Counter[str] = Counter()
    for path, header in _headers(paths):
        other = _not_a_slice(header)
        if other:
            ignored[other] += 1
            continue
        uid = str(header.get("SeriesInstanceUID", "unknown"))
        infos.setdefault(uid, (str(header.get("SeriesDescription", "")), str(header.get("Modality", "") or "unknown")))
        slices.setdefault(uid, []).append(_slice(path, header))
    series = [SeriesInfo(uid, *infos[uid], len(s), (len(s), *s[0].shape)) for uid, s in slices.items()]
    return Scan(sorted(series, key=lambda info: (-info.n_slices, info.uid)), slices, ignored)


def _headers(paths: Iterable[Path]) -> Iterator[tuple[Path, Any]]:
    for path in paths:
        if path.name.upper() == "DICOMDIR" or path.name.startswith(".") or not is_dicom(path):
            continue
        pydicom = import_pydicom()
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER_TAGS, force=True)
        except Exception as error:  # pydicom raises many kinds for a damaged file
            raise _damaged(path, error) from error
        yield path, header


def _not_a_slice(header: Any) -> str:
    """Kind of a DICOM object that is not a slice of a volume; empty for a slice."""
    modality = str(header.get("Modality", "") or "unknown")
    if not header.get("Rows"):
        return modality
    if "LOCALIZER" in (header.get("ImageType") or []):
        return "localizer"
    if int(header.get("NumberOfFrames") or 1) > 1:
        return f"multi-frame {modality}"
    if int(header.get("SamplesPerPixel") or 1) != 1:
        return "color image"
    if not all(header.get(tag) for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")):
        return f"{modality} image without position"
    return ""


def _slice(path: Path, header: Any) -> Slice:
    try:
        row_mm, column_mm = (float(v) for v in header.PixelSpacing)
        position = np.array(header.ImagePositionPatient, float).reshape(3)
        orientation = np.array(header.ImageOrientationPatient, float).reshape(6)
        shape = int(header.Rows), int(header.Columns)
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    return Slice(path, str(header.get("SOPInstanceUID", path)), position, orientation, (row_mm, column_mm), shape)


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError("unreadable DICOM header", where=path, found=one_line(error), hint="copy the file again")


def _choose(scanned: Scan, wanted: str | None, where: Path) -> SeriesInfo:
    if not scanned.series:
        raise InputError("no CT series in the folder", where=where, found=_inventory(scanned), hint=_advice(scanned))
    if wanted is not None:
        found = [s for s in scanned.series if s.uid == wanted] or [s for s in scanned.series if wanted in s.uid]
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
    return tuple(notes)


def import_pydicom() -> Any:
    """Import pydicom; raise an error that names its extra if it is missing."""
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError("DICOM needs pydicom", hint=INSTALL_HINT) from error
    return pydicom


def one_line(error: Exception) -> str:
    """First line of the error message of another library."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
