"""NIfTI files."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import SourceGrid
from ..spatial.geometry import Affine
from ..util.atomic_file import atomic_path
from . import checks
from .raw import RawVolume

SUFFIXES = (".nii.gz", ".nii")
_RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_UNREADABLE = (OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError)


def looks_like(path: Path) -> bool:
    """Whether the name is that of a NIfTI file; `read` checks the content."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """File name without ``.nii`` or ``.nii.gz``, or name of a folder."""
    name = path.resolve().name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def require_name(path: Path) -> None:
    """Raise unless the path is a valid name for a NIfTI file."""
    if not path.name.lower().endswith(SUFFIXES):
        raise InputError("not a NIfTI name", where=path, expected="a name that ends in .nii or .nii.gz")


def read(path: Path) -> RawVolume:
    """Read a CT."""
    image = _open(path)
    shape = checks.require_3d(image.shape, path)
    affine = _affine(image, path)
    data, value_notes = checks.replace_implausible(_scaled(image, path).reshape(shape, order="A"), path)
    return RawVolume(checks.compact(data), affine, _header(image), "CT", _header_notes(image) + value_notes)


def read_labels(path: Path) -> RawVolume:
    """Read a label map; whole numbers stored as floats are accepted."""
    image = _open(path)
    shape = checks.require_3d(image.shape, path)
    affine = _affine(image, path)
    data = _scaled(image, path).reshape(shape, order="A")
    if not np.issubdtype(data.dtype, np.integer):
        if not np.isfinite(data).all() or not np.array_equal(data, np.rint(data)):
            raise InputError("label map has non-integer values", where=path, found=data.dtype, expected="whole numbers")
        data = checks.smallest_integers(data)
    return RawVolume(data, affine, _header(image))


def read_label_names(path: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    """Read the label names in ``<name>.json`` next to a label map, ``{"1": "liver", ...}``; empty without this file.

    A second tuple holds a note if the file is there and cannot be used.
    """
    beside = path.with_name(stem(path) + ".json")
    if not beside.is_file():
        return {}, ()
    try:
        content = beside.read_bytes()
        try:
            names = json.loads(content)  # UTF-8, -16 or -32, with or without a byte-order mark
        except UnicodeDecodeError:
            names = json.loads(content.decode("latin-1"))
        return {int(value): str(name) for value, name in names.items()}, ()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        return {}, (f"label names in {beside.name} were not read: {_short(error, beside)}",)


def write(path: Path, data: NDArray, source: SourceGrid) -> None:
    """Write ``(z, y, x)`` or ``(z, y, x, 3)`` data on the grid of a file, atomically."""
    require_name(path)
    image = _image(source.to_file(data), source)
    with atomic_path(path, ".nii.gz" if path.suffix.lower() == ".gz" else ".nii") as temporary:
        image.to_filename(temporary)


def _open(path: Path) -> Any:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nibabel.load(path, mmap=False)
    except (ImageFileError, HeaderDataError, *_UNREADABLE) as error:
        raise InputError("not a readable NIfTI file", where=path, found=_short(error, path)) from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise InputError("not a NIfTI file", where=path, found=type(image).__name__, hint="convert it to .nii.gz")
    return _unzipped(image, path) if path.suffix.lower() == ".gz" else image


def _unzipped(image: Any, path: Path) -> Any:
    """Read the image from memory, to check the gzip checksum: nibabel stops at the last voxel, before the checksum."""
    try:
        with gzip.open(path) as file:
            return type(image).from_bytes(file.read())
    except _UNREADABLE as error:
        raise _damaged(error, path) from error


def _header(image: Any) -> Any:
    """Header for results, without extensions and names of other files and databases: they may identify a patient."""
    header = image.header.copy()
    header.extensions.clear()
    header["vox_offset"] = 0
    header["db_name"] = header["aux_file"] = b""
    return header


def _affine(image: Any, path: Path) -> Affine:
    """Nibabel's choice: the sform, else the qform, else a guess from the voxel size."""
    return checks.require_affine(image.affine, path)


def _scaled(image: Any, path: Path) -> NDArray:
    """Values after the header's slope and intercept: integers where those change nothing, else float32."""
    dtype = image.header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError("not a scalar image", where=path, found=_type_name(dtype), expected="one number per voxel")
    try:
        data = np.asarray(image.dataobj.get_unscaled())
    except _UNREADABLE as error:
        raise _damaged(error, path) from error
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) == (1, 0):
        return data if dtype.kind in "iu" else data.astype(np.result_type(data, np.float32), copy=False)
    with np.errstate(over="ignore", invalid="ignore"):  # what gets infinite is no HU
        return data.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _header_notes(image: Any) -> tuple[str, ...]:
    notes = []
    header = image.header
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if len(image.shape) > 3:
        notes.append(f"trailing axes of length 1 dropped (shape in the file: {' x '.join(map(str, image.shape))})")
    if not has_sform and not has_qform:
        notes.append("no sform or qform in the header: position and left/right are assumed, not known")
    elif has_sform and has_qform and not _forms_agree(header):
        notes.append("sform and qform of the header differ: the sform is used")
    return tuple(notes)


def _forms_agree(header: Any) -> bool:
    try:
        return np.allclose(header.get_sform(), header.get_qform(), atol=0.1)
    except ValueError:  # a quaternion that is none
        return False


def _image(array: NDArray, source: SourceGrid) -> Any:
    import nibabel

    if array.ndim == 4:
        array = np.ascontiguousarray(array).view(_RGB24)[..., 0]
    if source.header is None:
        return _fresh_image(array, source.affine)
    header = source.header.copy()
    header.set_data_dtype(array.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("none")
    image_class = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    # Without an affine nibabel leaves sform, qform and their codes exactly as the header has them.
    return image_class(array, None, header)


def _fresh_image(array: NDArray, affine: Affine) -> Any:
    import nibabel

    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    # A qform holds no shear: nibabel would square it silently, and some readers prefer the qform.
    sheared = checks.shear_degrees(affine) > 1e-3
    image.set_qform(None if sheared else affine, code="unknown" if sheared else "scanner")
    return image


def _damaged(error: Exception, path: Path) -> InputError:
    return InputError("truncated or damaged file", where=path, found=_short(error, path), hint="copy it again")


def _type_name(dtype: np.dtype) -> str:
    return "color (RGB)" if dtype.names else str(dtype)


def _short(error: Exception, path: Path) -> str:
    text = str(error).removeprefix(f"File {path} is ").replace(str(path), "the file") or type(error).__name__
    return text.splitlines()[0][:120]
