"""Check of output paths before any work: no output takes the place of a file that is read."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import InputError
from . import dicom_series, map_files, ome_zarr

_HEADERS = (".mhd", ".nhdr")
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(\S[^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_HEADER_BYTES = 65536


def require_output(path: Path | None, *inputs: Path | None, labels: bool = True) -> None:
    """Raise unless a map can go to `path` (None passes); called before long computations.

    Parameters
    ----------
    path : Path or None
    *inputs : Path or None
        Files and folders that are read, or other outputs; see `require_apart`.
    labels : bool
        Whether the map holds labels: ``.seg.nrrd`` can hold no others.
    """
    if path is None:
        return
    map_files.require_name(path, labels=labels)
    require_apart([path], inputs)
    require_place(path, map_files.EXPECTED)


def require_apart(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Raise if an output would take the place of an input or of another output.

    Paths are compared as files, so links, relative paths and, on a file system without case, names that differ in case
    are found. Of a DICOM series every file of its folder counts, whatever its name, except objects that this program
    exported. A header of a detached image counts together with its data files.

    Parameters
    ----------
    outputs, inputs : iterables of Path or None
        None passes.
    """
    written: set[object] = set()
    chosen = [Path(path) for path in outputs if path is not None]
    require_no_input(chosen, inputs)
    for path in chosen:
        own = {_identity(path), str(_resolved(path)).casefold()}
        if own & written:
            raise InputError("two outputs have the same path", where=path, hint="choose different output paths")
        written |= own


def require_no_input(outputs: Iterable[Path], inputs: Iterable[Path | None]) -> None:
    """Raise if an output would take the place of an input, as `require_apart` says."""
    read = list(dict.fromkeys(Path(path) for path in inputs if path is not None))
    known = {_identity(path) for path in read}
    known |= {_identity(data) for path in read if path.suffix.lower() in _HEADERS for data in _data_files(path)}
    for path in outputs:
        if _identity(path) in known or (path.is_file() and _is_of_series(path, read)):
            raise InputError("would overwrite the input", where=path, hint="choose another output path")


def require_place(path: Path, expected: str = "a file name") -> None:
    """Raise if a folder is in the way of an output file, or a file in the way of its folder."""
    if path.is_dir() and not ome_zarr.looks_like(path):
        raise InputError("output is a folder", where=path, expected=expected)
    require_folder(path.parent)


def require_folder(folder: Path) -> None:
    """Raise unless a folder exists and can be written to, or can be made."""
    there = next((place for place in (folder, *folder.absolute().parents) if os.path.lexists(place)), folder)
    if not there.is_dir():
        raise InputError(
            "output is not in a folder", where=folder, found=f"{there.name} is a file", expected="a folder"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError("cannot write", where=folder, found="no permission", hint="choose another output path")


def _identity(path: Path) -> object:
    """What is equal for all names of a file: its place on the disk, or its path where there is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return _resolved(path)
    return status.st_dev, status.st_ino


def _is_of_series(path: Path, sources: list[Path]) -> bool:
    """Whether a file that exists belongs to a DICOM folder that is read."""
    if not _is_input_object(path):
        return False
    folders = {source if source.is_dir() else source.parent for source in sources if _is_dicom(source)}
    return any(_identity(path) == _identity(file) for folder in folders for file in _files_of(folder))


def _is_dicom(source: Path) -> bool:
    return source.is_dir() or (source.is_file() and dicom_series.is_dicom(source))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path.absolute()


def _files_of(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _is_input_object(path: Path) -> bool:
    """Whether a file of a DICOM folder belongs to what is read there: no map, table or export of this program."""
    if not dicom_series.is_dicom(path):
        return path.suffix.lower() in ("", ".dcm", ".ima")  # a damaged slice is still the user's
    import pydicom

    from .dicom_export import MANUFACTURER

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality", "Manufacturer"], force=True)
        return header.get("Modality") not in ("SEG", "RTSTRUCT") or header.get("Manufacturer") != MANUFACTURER
    except Exception:  # pydicom raises many kinds for a damaged file
        return True


def _data_files(header: Path) -> Iterator[Path]:
    """Files that the header of a detached image names, as far as they can be told without a parser."""
    try:
        with header.open("rb") as file:
            text = file.read(_HEADER_BYTES)
    except OSError:
        return
    for match in _DATA_FILE.finditer(text):
        yield header.parent / os.fsdecode(match.group(1).strip())
