"""Search for scans of all formats in a folder, as inputs of `load_volume`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CoralBayError
from . import dicom_series, itk, nifti, ome_zarr

SUFFIXES = (*nifti.SUFFIXES, *itk.SUFFIXES)
_FEATURES = "zarr.json"
_HIDDEN = ("__MACOSX",)  # holds what Finder hides, in archives


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
    series : str
        DICOM series instance UID; empty for other files.
    modality : str
        DICOM modality; ``CT`` for other files, which have none.
    is_image : bool
        False for DICOM objects without a stack of slices, such as plans and segmentations; `problem` names them.
    """

    path: Path
    files: tuple[Path, ...]
    problem: str = ""
    series: str = ""
    modality: str = "CT"
    is_image: bool = True


def find_scans(root: Path) -> Iterator[FoundScan]:
    """Yield the scans of a file, or of a folder and its subfolders, sorted; slices of a series must share a folder.

    Hidden files and folders, folders of features, devices and pipes are passed over.
    """
    if root.is_file():
        yield from _of_files([root])
        return
    for folder, inner, names in os.walk(root):
        if ome_zarr.looks_like(Path(folder)):
            inner.clear()
            yield FoundScan(Path(folder), (Path(folder),))
            continue
        if _FEATURES in names:
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _HIDDEN)
        paths = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        yield from _of_files([path for path in paths if path.is_file() or _is_broken_link(path)])


def _is_broken_link(path: Path) -> bool:
    """Whether a file is missing, which is worth an error, and no device or pipe, which is not."""
    return path.is_symlink() and not path.exists()


def _of_files(files: list[Path]) -> Iterator[FoundScan]:
    images = [path for path in files if path.name.lower().endswith(SUFFIXES)]
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
        yield FoundScan(paths[0], paths, series=info.uid, modality=info.modality)
    if not scanned.series:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(scanned.ignored.items()))
        problem = f"no series of slices - found {kinds or 'no DICOM image'}"
        yield FoundScan(files[0].parent, tuple(files), problem, is_image=False)
