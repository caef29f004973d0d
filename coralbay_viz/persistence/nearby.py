"""Scans near a session file that names none: files of the right size, and folders of DICOM slices."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

SIZE = "file"
"""Name of the part of a scan's state that holds the size of its file."""

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
# A session may lie in a home folder: far below it nothing is searched.
_DEEPEST, _MOST_FOLDERS, _LOOK_AT = 3, 500, 5


def is_single_file(path: Path) -> bool:
    """Whether a scan is one file, and not a DICOM series."""
    return path.is_file() and path.name.lower().endswith(_SUFFIXES)


def nearby(folder: Path, size: object) -> Iterator[Path]:
    """Yield what may be a scan in a folder and some levels below.

    Parameters
    ----------
    folder : Path
    size : int or None
        Bytes of its file; None for a folder of slices.
    """
    for here, inner, names in islice(os.walk(folder), _MOST_FOLDERS):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if len(Path(here).relative_to(folder).parts) >= _DEEPEST:
            inner.clear()
        files = [Path(here, name) for name in sorted(names) if not name.startswith(".")]
        if size is None:
            if any(map(_is_dicom, files[:_LOOK_AT])):
                yield Path(here)
            continue
        for path in files:
            with suppress(OSError):
                if is_single_file(path) and path.stat().st_size == size:
                    yield path


def _is_dicom(path: Path) -> bool:
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as stream:
                return stream.read(132)[128:] == b"DICM"
    return False
