"""Reading and writing of CT volumes and label maps: NIfTI, NRRD, MetaImage, OME-Zarr and DICOM series.

This package is the only one that uses nibabel, pydicom and SimpleITK. For all formats, `load_volume` returns an
array indexed ``(z, y, x)`` with axis codes S, P, L and an affine to RAS+ mm; `save_map` takes an array on that grid
back to exactly the grid and header of the file. Nothing is resampled on either way.
"""

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from ..errors import InputError, MissingFileError
from ..spatial import LabelVolume, SourceGrid, Volume
from ..util.arguments import checked
from . import checks, dicom, itk, map_files, mask_folder, nifti, objects, ome_zarr, seg_nrrd, seg_nrrd_header
from .dicom_series import SeriesInfo, scan
from .discover import FoundScan, find_scans
from .label_tables import LabelTable, find_table
from .objects import as_object
from .outputs import require_apart, require_folder, require_no_input, require_output, require_place
from .placement import placed
from .raw import RawVolume

__all__ = [
    "FoundScan",
    "SeriesInfo",
    "VolumeLike",
    "as_object",
    "find_scans",
    "list_series",
    "load_labels",
    "load_volume",
    "require_apart",
    "require_folder",
    "require_no_input",
    "require_output",
    "require_place",
    "save_dicom",
    "save_labels",
    "save_map",
]

_log = logging.getLogger(__name__)

VolumeLike = Any
"""A path, a `Volume`, an image of nibabel, SimpleITK, MONAI, torchio or xarray, or a pair ``(array, affine)``."""


@checked
def load_volume(path: VolumeLike, *, series: str | None = None, orientation: str | None = None) -> Volume:
    """Read a CT in Hounsfield units, or take it from another library.

    Parameters
    ----------
    path : str, Path or object
        A ``.nii``, ``.nii.gz``, ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd`` file, an OME-Zarr image or one level of it
        (``ct.ome.zarr/1``), a folder that holds a DICOM series, or any file of that series. Or an image of nibabel,
        SimpleITK, MONAI, torchio or xarray, or a pair ``(array, affine)`` with the affine from indices to RAS+ mm. A
        `Volume` is returned as it is.
    series : str, optional
        DICOM series instance UID, a part of it that fits one series only, or `Volume.series`; needed where a folder
        holds several.
    orientation : str, optional
        Directions in which x, y and z of an OME-Zarr image grow, such as ``LPS``, if the image does not state them.

    Returns
    -------
    Volume
        int16 HU where that is lossless, else float32. ``notes`` are remarks on the file for the user.

    Raises
    ------
    MissingFileError, InputError, MissingExtraError
    """
    if isinstance(path, Volume):
        return path
    if not isinstance(path, str | PathLike):
        raw, name = objects.read_object(path)
        return _to_volume(raw, None, name)
    path = _existing(path)
    reader = next((known for known in (nifti, itk) if known.looks_like(path)), None)
    if reader is not None:
        if series is not None:
            kind = "NIfTI" if reader is nifti else path.suffix.lstrip(".").upper()
            raise InputError(f"a {kind} file has no series", where=path, hint="leave out --series: it is for DICOM")
        raw = seg_nrrd.read(path)[0] if seg_nrrd_header.looks_like(path) else reader.read(path)
        return _to_volume(raw, path, nifti.stem(path))
    if ome_zarr.looks_like(path):
        return _to_volume(ome_zarr.read(path, orientation), path, nifti.stem(path))
    raw = dicom.read(path, series)
    return _to_volume(raw, path, (path if path.is_dir() else path.parent).resolve().name)


@checked
def list_series(folder: str | Path) -> list[SeriesInfo]:
    """List the image series of a DICOM folder and its subfolders, the one with most slices first."""
    return scan(_existing(folder)).series


@checked
def load_labels(
    path: VolumeLike, like: Volume | LabelVolume | None = None, *, orientation: str | None = None
) -> LabelVolume:
    """Read an integer label map with its names and colors.

    Parameters
    ----------
    path : str, Path or object
        A NIfTI, NRRD or MetaImage file, a segmentation of 3D Slicer (``.seg.nrrd``), or a folder with one mask per
        structure as TotalSegmentator writes it. Names come from the file, or from a JSON file or label description of
        ITK-SNAP of this name next to it (`label_tables.find_table`). An object of another library is accepted as by
        `load_volume`. A `LabelVolume` is returned as it is.
    like : Volume or LabelVolume, optional
        What the labels belong to, such as their CT. They must lie on the grid of its file; a different order or
        direction of the axes is accepted, because turning those is lossless. Of a ``.seg.nrrd``, which holds a part
        of an image, only the voxels must coincide.
    orientation : str, optional
        As of `load_volume`.
    """
    if isinstance(path, LabelVolume):
        if like is not None:
            checks.require_same_grid(path.grid, like.grid, path.name)
        return path
    file: Path | None = None
    table = LabelTable()
    if isinstance(path, str | PathLike):
        file = _existing(path)
        raw, table = _read_labels(file, orientation)
        name = nifti.stem(file)
    else:
        raw, name = objects.read_labels_object(path)
    read = SourceGrid.of(raw.data.shape, raw.affine, raw.header)
    source: SourceGrid | None = read
    grid, data = read.grid, read.from_file(raw.data)
    notes = raw.notes + table.notes
    if like is not None:
        turned = like.grid.orientation
        if file is not None and seg_nrrd_header.looks_like(file) and grid != turned.grid:
            data, lost = placed(data, grid, turned.grid, file)
            notes, source = notes + lost, like.source
        else:
            checks.require_same_grid(grid, turned.grid, file or name)
        grid, data = like.grid, turned.to_file(data)
        # What is drawn on a volume of other axes goes to a new file, as that volume does.
        source = source if turned.is_trivial else None
    data = checks.contiguous(data)
    return LabelVolume(data, grid, name, file, source, names=table.names, notes=notes, colors=table.colors)


def _read_labels(path: Path, orientation: str | None) -> tuple[RawVolume, LabelTable]:
    if ome_zarr.looks_like(path):
        return ome_zarr.read_labels(path, orientation)
    if path.is_dir():
        return mask_folder.read(path)
    if seg_nrrd_header.looks_like(path):
        raw, own = seg_nrrd.read(path)
        return raw, own if own.names else find_table(path)
    return (itk if itk.looks_like(path) else nifti).read_labels(path), find_table(path)


@checked
def save_map(path: str | Path, data: ArrayLike, volume: Volume | LabelVolume) -> Path:
    """Write a map that lies on ``volume.grid``, on the grid of the volume's file.

    Parameters
    ----------
    path : str or Path
        Ends in ``.nii`` or ``.nii.gz``, which keep the header of the volume's file, too, in ``.nrrd``, in ``.ome.zarr``
        or, for labels, in ``.seg.nrrd``. Missing folders are made; the file appears only when it is complete.
    data : (z, y, x) array of integer, bool or float, or (z, y, x, 3) array of uint8
        Floats are stored as float32, the last form as RGB24.
    volume : Volume or LabelVolume

    Returns
    -------
    Path
        The path written.
    """
    path = Path(path)
    require_output(path, volume.path)
    map_files.write(path, checks.require_map(data, volume.shape, path), volume)
    return path


@checked
def save_labels(path: str | Path, labels: LabelVolume) -> Path:
    """Write a label map on the grid of its file; in ``.seg.nrrd`` with its names and colors, for 3D Slicer.

    Parameters
    ----------
    path : str or Path
        As of `save_map`.
    labels : LabelVolume
        Values without a color get the one of the app.

    Returns
    -------
    Path
        The path written.
    """
    path = Path(path)
    require_output(path, labels.path)
    data = checks.require_map(labels.data, labels.shape, path)
    map_files.write(path, data, labels, labels.names, labels.colors)
    return path


def _existing(path: str | PathLike) -> Path:
    if not str(path):
        raise MissingFileError("no path", expected="the path of a file or folder")
    path = Path(path).expanduser()
    if not path.exists():
        raise MissingFileError("no such file or folder", where=path)
    if not path.is_file() and not path.is_dir():
        raise InputError("not a file", where=path, found="a pipe, socket or device", expected="a file or folder")
    return path


def _to_volume(raw: RawVolume, path: Path | None, name: str) -> Volume:
    source = SourceGrid.of(raw.data.shape, raw.affine, raw.header)
    checks.require_size(source.grid, path or name)
    data = checks.contiguous(source.from_file(raw.data))
    notes = raw.notes + checks.geometry_notes(raw.affine) + checks.value_notes(data, raw.modality)
    _log.debug("%s: %s voxels, affine %s", path or name, data.shape, source.grid.affine.round(3).tolist())
    return Volume(data, source.grid, name, path, source, raw.modality, notes, raw.series)


@checked
def save_dicom(
    path: str | Path,
    labels: LabelVolume,
    folder: str | Path,
    *,
    kind: Literal["seg", "rtstruct"] = "seg",
    series: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write labels as a DICOM object that references the series that they were made on.

    The only copied patient data is the ID, which files the object with its study.

    Parameters
    ----------
    path : str or Path
        The file appears only when it is complete.
    labels : LabelVolume
        On the grid of the series; each value above 0 becomes a segment or region of interest with its name and, if
        known, its color.
    folder : str or Path
        Folder of the series, or a file of it.
    kind : str
        ``seg``, a binary DICOM-SEG, or ``rtstruct``, outlines slice by slice.
    series : str, optional
        As in `load_volume`.
    about : mapping, optional
        Provenance to keep in the object, in a few words.

    Raises
    ------
    InputError
        If labels and series have different grids, or the series lacks identifiers that DICOM references need.
    MissingExtraError
    """
    from .dicom_export import labeled_series
    from .dicom_seg import require_highdicom, write_seg
    from .rtstruct import write_rtstruct

    if kind == "seg":
        require_highdicom()
    require_apart([Path(path)], [Path(folder), labels.path])
    found = labeled_series(labels, _existing(folder), series)
    return {"seg": write_seg, "rtstruct": write_rtstruct}[kind](Path(path), found, about or {})
