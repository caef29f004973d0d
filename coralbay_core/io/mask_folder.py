"""Folders with one mask per structure, as TotalSegmentator writes them, as one label map."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import Grid
from . import checks, itk, nifti
from .label_tables import LabelTable
from .raw import RawVolume
from .stacking import stack
from .structure_names import structure_names

_SUFFIXES = (*nifti.SUFFIXES, *itk.SUFFIXES)


def masks_in(folder: Path) -> list[Path]:
    """Files of a folder that can be masks of structures, sorted; empty for anything that is no such folder."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_SUFFIXES) and path.is_file())
    return [path for path in files if not path.name.startswith(".")]


def read(folder: Path) -> tuple[RawVolume, LabelTable]:
    """Read one mask per structure as one label map; structures are named after their files.

    Values are those of TotalSegmentator where all names are of its task ``total``, else 1, 2, ... in alphabetical
    order. A voxel of several structures goes to the smallest, with a note.

    Raises
    ------
    InputError
        If a file is no mask, or lies on another grid than the first.
    """
    files = masks_in(folder)
    if not files:
        raise InputError(
            "no label map in the folder",
            where=folder,
            expected="one mask per structure, such as liver.nii.gz, or the path of a file",
        )
    stems = [nifti.stem(path) for path in files]
    known = {name: value for value, name in enumerate(structure_names(), 1)}
    values = [known[name] for name in stems] if set(stems) <= set(known) else list(range(1, len(stems) + 1))
    names = dict(zip(values, stems, strict=True))
    first = _read(files[0])
    grid = Grid(first.data.shape, first.affine)
    data, notes = stack(_masks(files, values, grid, first), first.data.shape, names)
    return RawVolume(data, first.affine, first.header, notes=first.notes + notes), LabelTable(names)


def _masks(files: list[Path], values: list[int], grid: Grid, first: RawVolume) -> Iterator[tuple[int, NDArray]]:
    for path, value in zip(files, values, strict=True):
        raw = first if path == files[0] else _read(path)
        if path != files[0]:
            checks.require_same_grid(Grid(raw.data.shape, raw.affine), grid, path)
        found = np.unique(raw.data)
        if len(found) > 2 or (len(found) == 2 and found[0] != 0):
            raise InputError(
                "not a mask of one structure",
                where=path,
                found=f"{len(found)} values",
                expected="0 and one other value",
                hint="give the path of this file if it is a label map of several structures",
            )
        yield value, raw.data != 0


def _read(path: Path) -> RawVolume:
    return itk.read_labels(path) if itk.looks_like(path) else nifti.read_labels(path)
