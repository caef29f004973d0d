"""NIfTI files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import SourceGrid, geometry
from ..spatial.geometry import Affine
from ..util.atomic_file import atomic_path
from . import checks
from .label_classes import classes_from
from .nifti_file import UNREADABLE, damaged, open_nifti, short
from .raw import RawVolume

SUFFIXES = (".nii.gz", ".nii")
_OTHER_IMAGES = (".nrrd", ".nhdr", ".mha", ".mhd")  # label maps of these formats have names beside them, too
_RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_FREE_TEXT = ("descrip", "aux_file", "intent_name", "db_name", "data_type", "unused_str")
_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}


def looks_like(path: Path) -> bool:
    """Whether the name is that of a NIfTI file; `read` checks the content."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """File name without the suffix of an image, or name of a folder."""
    name = path.resolve().name
    for suffix in (*SUFFIXES, *_OTHER_IMAGES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def require_name(path: Path) -> None:
    """Raise unless the path is a valid name for a NIfTI file."""
    if not path.name.lower().endswith(SUFFIXES):
        raise InputError("not a NIfTI name", where=path, expected="a name that ends in .nii or .nii.gz")


def read(path: Path) -> RawVolume:
    """Read a CT."""
    opened = open_nifti(path)
    return of_image(opened.image, path, opened.notes)


def of_image(image: Any, where: Path | str, notes: tuple[str, ...] = ()) -> RawVolume:
    """Take a CT from an image of nibabel."""
    shape = checks.require_3d(image.shape, where)
    affine, unit_notes = _affine(image, where)
    data, value_notes = checks.replace_implausible(_scaled(image, where).reshape(shape, order="A"), where)
    notes = (*notes, *_header_notes(image), *unit_notes, *value_notes)
    return RawVolume(checks.compact(data), affine, _header(image), "CT", notes)


def read_labels(path: Path) -> RawVolume:
    """Read a label map; whole numbers stored as floats, or nearly whole ones after a scale factor, are accepted."""
    opened = open_nifti(path)
    return labels_of_image(opened.image, path, opened.notes)


def labels_of_image(image: Any, where: Path | str, notes: tuple[str, ...] = ()) -> RawVolume:
    """Take a label map from an image of nibabel."""
    shape = checks.require_3d(image.shape, where)
    affine, unit_notes = _affine(image, where)
    data, value_notes = checks.whole(_scaled(image, where, np.float64).reshape(shape, order="A"), where)
    return RawVolume(data, affine, _header(image), notes=(*notes, *unit_notes, *value_notes))


def read_label_names(path: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    """Read the label names in ``<name>.json`` next to a label map, as `label_classes` describes.

    Empty without this file.

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
        return classes_from(names).names, ()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        return {}, (f"label names in {beside.name} were not read: {short(error, beside)}",)


def write(path: Path, data: NDArray, source: SourceGrid) -> None:
    """Write ``(z, y, x)`` or ``(z, y, x, 3)`` data on the grid of a file, atomically."""
    require_name(path)
    image = _image(source.to_file(data), source)
    with atomic_path(path, ".nii.gz" if path.suffix.lower() == ".gz" else ".nii") as temporary:
        image.to_filename(temporary)


def to_image(data: NDArray, source: SourceGrid) -> Any:
    """Make an image of nibabel from ``(z, y, x)`` or ``(z, y, x, 3)`` data on the grid of a file."""
    image = _image(source.to_file(data), source)
    # In memory, an image that was made without an affine has none; the header's own leaves the header as it is.
    return type(image)(image.dataobj, image.header.get_best_affine(), image.header)


def _header(image: Any) -> Any:
    """Header for results, without extensions and free text: converters write names, IDs and dates there."""
    if not hasattr(image.header, "extensions"):  # of another format than NIfTI
        return None
    header = image.header.copy()
    header.extensions.clear()
    header["vox_offset"] = 0
    for keyword in _FREE_TEXT:
        if keyword in header:  # versions 1 and 2 differ
            header[keyword] = b""
    return header


def _affine(image: Any, path: Path | str) -> tuple[Affine, tuple[str, ...]]:
    """Index to mm: nibabel's choice, the sform, else the qform, else a guess from the voxel size.

    A header may state another unit than mm. Some state one that they do not use, hence voxels decide.
    """
    affine = checks.require_affine(image.affine, path)
    unit = _units(image)
    if unit not in _MM_PER_UNIT:
        return affine, ()
    if checks.is_plausible_spacing(affine):
        return affine, (f"the header says {unit}, but its numbers are those of a CT in mm: they are taken as mm",)
    scaled = geometry.scale(_MM_PER_UNIT[unit]) @ affine
    return scaled, (f"positions were converted from {unit} to mm",)


def _units(image: Any) -> str:
    try:
        return str(image.header.get_xyzt_units()[0])
    except (KeyError, ValueError):
        return "unknown"


def _scaled(image: Any, path: Path | str, dtype_of_scaled: type[np.floating] = np.float32) -> NDArray:
    """Values after the header's slope and intercept: integers where those change nothing, else floats."""
    dtype = image.header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError("not a scalar image", where=path, found=_type_name(dtype), expected="one number per voxel")
    if not hasattr(image.dataobj, "get_unscaled"):  # an image that was made in memory holds final values
        return np.asarray(image.dataobj)
    try:
        data = np.asarray(image.dataobj.get_unscaled())
    except UNREADABLE as error:
        raise damaged(error, Path(path)) from error
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) == (1, 0):
        return data if dtype.kind in "iu" else data.astype(np.result_type(data, np.float32), copy=False)
    with np.errstate(over="ignore", invalid="ignore"):  # what gets infinite is no HU
        return data.astype(dtype_of_scaled) * dtype_of_scaled(slope) + dtype_of_scaled(intercept)


def _header_notes(image: Any) -> tuple[str, ...]:
    notes = []
    header = image.header
    if "sform_code" not in header:
        return ()
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


def _type_name(dtype: np.dtype) -> str:
    return "color (RGB)" if dtype.names else str(dtype)
