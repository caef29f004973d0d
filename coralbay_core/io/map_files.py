"""Files of maps and volumes, by the end of their name: NIfTI, NRRD, OME-Zarr and segmentations of 3D Slicer."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume, Volume
from ..spatial.label_colors import Color
from . import nifti, nrrd, ome_zarr, seg_nrrd, seg_nrrd_header

SUFFIXES = (*nifti.SUFFIXES, seg_nrrd_header.SUFFIX, nrrd.SUFFIX, *ome_zarr.SUFFIXES)
"""Ends of the names that `write` accepts."""

EXPECTED = "a file name that ends in .nii.gz, .nii, .nrrd, .ome.zarr or, for labels, .seg.nrrd"


def is_map_name(path: Path) -> bool:
    """Whether a name is that of a file that `write` writes."""
    return path.name.lower().endswith(SUFFIXES)


def require_name(path: Path, *, labels: bool = True) -> None:
    """Raise unless a name is that of a file that `write` writes, for labels or for other maps."""
    if not is_map_name(path) or (not labels and seg_nrrd_header.looks_like(path)):
        raise InputError("not the name of a map", where=path, expected=EXPECTED)


def write(
    path: Path,
    data: NDArray,
    like: Volume | LabelVolume,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
) -> None:
    """Write ``(z, y, x)`` or ``(z, y, x, 3)`` data on the grid of the file of a volume, whole or not at all.

    Parameters
    ----------
    path : Path
    data : array
        Integers in ``.seg.nrrd``.
    like : Volume or LabelVolume
        What the map belongs to.
    names, colors : mapping, optional
        Of labels; stored in ``.seg.nrrd`` and ``.ome.zarr``.
    """
    require_name(path)
    if seg_nrrd_header.looks_like(path):
        if data.ndim != 3 or not np.issubdtype(data.dtype, np.integer):
            raise InputError("not a label map", where=path, found=data.dtype, expected="integers in a .seg.nrrd")
        seg_nrrd.write(path, data, like.source_grid, names or {}, colors or {})
    elif path.name.lower().endswith(nrrd.SUFFIX):
        nrrd.write(path, data, like.source_grid)
    elif path.name.lower().endswith(ome_zarr.SUFFIXES):
        ome_zarr.write(path, np.moveaxis(data, 3, 0) if data.ndim == 4 else data, like.grid, names, colors)
    else:
        nifti.write(path, data, like.source_grid)
