"""Files of maps and volumes, by the end of their name: NIfTI, NRRD and segmentations of 3D Slicer."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import SourceGrid
from ..spatial.label_colors import Color
from . import nifti, nrrd, seg_nrrd, seg_nrrd_header

SUFFIXES = (*nifti.SUFFIXES, seg_nrrd_header.SUFFIX, nrrd.SUFFIX)
"""Ends of the names that `write` accepts."""

EXPECTED = "a file name that ends in .nii.gz, .nii, .nrrd or, for labels, .seg.nrrd"


def is_map_name(path: Path) -> bool:
    """Whether a name is that of a file that `write` writes."""
    return path.name.lower().endswith(SUFFIXES)


def require_name(path: Path) -> None:
    """Raise unless a name is that of a file that `write` writes."""
    if not is_map_name(path):
        raise InputError("not the name of a map", where=path, expected=EXPECTED)


def write(
    path: Path,
    data: NDArray,
    source: SourceGrid,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
) -> None:
    """Write ``(z, y, x)`` or ``(z, y, x, 3)`` data on the grid of a file, atomically.

    Parameters
    ----------
    path : Path
    data : array
        Integers in ``.seg.nrrd``.
    source : SourceGrid
    names, colors : mapping, optional
        Of labels; stored in ``.seg.nrrd`` only.
    """
    require_name(path)
    if seg_nrrd_header.looks_like(path):
        if data.ndim != 3 or not np.issubdtype(data.dtype, np.integer):
            raise InputError("not a label map", where=path, found=data.dtype, expected="integers in a .seg.nrrd")
        seg_nrrd.write(path, data, source, names or {}, colors or {})
    elif path.name.lower().endswith(nrrd.SUFFIX):
        nrrd.write(path, data, source)
    else:
        nifti.write(path, data, source)
