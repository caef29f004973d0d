"""Search for scans of all formats in a folder, as inputs of `load_volume`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CoralBayError
from . import dicom_series, itk, nifti

_SUFFIXES = (*nifti.SUFFIXES, *itk.SUFFIXES)


@dataclass(frozen=True)
class FoundScan:
    """A scan that was found but not read.

    Parameters
    ----------
    path : Path
        A file, or the first slice of a DICOM series.
    files : tuple of Path
        Files of the scan, as far as known without reading them.
    problem : str
        Why it cannot be read; empty if nothing is known against it.
    """

    path: Path
    files: tuple[Path, ...]
    problem: str = ""


def find_scans(root: Path) -> Iterator[FoundScan]:
    """Yield the scans of a file, or of a folder and its subfolders, sorted; slices of a series must share a folder."""
    if root.is_file():
        yield from _of_files([root])
        return
    for folder, inner, names in os.walk(root):
        inner.sort()
        yield from _of_files([Path(folder, name) for name in sorted(names) if not name.startswith(".")])


def _of_files(files: list[Path]) -> Iterator[FoundScan]:
    images = [path for path in files if path.name.lower().endswith(_SUFFIXES)]
    for path in images:
        yield FoundScan(path, (path,))
    slices = [path for path in files if path not in set(images) and dicom_series.is_dicom(path)]
    if slices:
        yield from _of_slices(slices)


def _of_slices(files: list[Path]) -> Iterator[FoundScan]:
    try:
        scanned = dicom_series.scan_files(files)
    except CoralBayError as error:
        yield FoundScan(files[0].parent, tuple(files), str(error))
        return
    for info in scanned.series:
        paths = tuple(sorted(image.path for image in scanned.slices[info.uid]))
        yield FoundScan(paths[0], paths)
    if not scanned.series:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(scanned.ignored.items()))
        yield FoundScan(files[0].parent, tuple(files), f"no series of slices - found {kinds or 'no DICOM image'}")
