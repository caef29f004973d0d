"""Volumes that other libraries hold in memory, to ours and back.

Known are images of nibabel, SimpleITK, MONAI (``MetaTensor``), torchio and xarray, and a pair ``(array, affine)``. An
object is known by the class that it is of, so no library is imported for it that the caller does not use already.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..spatial import LabelVolume, SourceGrid, Volume, geometry
from ..spatial.geometry import Affine
from . import checks, itk, nifti
from .raw import RawVolume

Kind = Literal["nibabel", "simpleitk", "metatensor", "torchio", "xarray", "array"]
KINDS: tuple[Kind, ...] = get_args(Kind)

EXPECTED = (
    "a path, a Volume, an image of nibabel, SimpleITK, MONAI, torchio or xarray, or a pair (array, affine) with the "
    "affine from indices to RAS+ mm"
)
_CLASSES: dict[tuple[str, str], Kind] = {
    ("nibabel", "SpatialImage"): "nibabel",
    ("SimpleITK", "Image"): "simpleitk",
    ("monai", "MetaTensor"): "metatensor",
    ("torchio", "Image"): "torchio",
    ("xarray", "DataArray"): "xarray",
}
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_EVEN = 1e-3  # of the spacing: coordinates may be float32


def kind_of(source: object) -> Kind | None:
    """Kind of an object, or None if it is unknown."""
    for cls in type(source).__mro__:
        kind = _CLASSES.get((cls.__module__.partition(".")[0], cls.__name__))
        if kind is not None:
            return kind
    is_pair = isinstance(source, tuple | list) and len(source) == 2
    return "array" if is_pair and not any(isinstance(part, str | Path) for part in source) else None  # type: ignore[attr-defined]


def read_object(source: Any) -> tuple[RawVolume, str]:
    """Read a CT from an object of another library; HU in its axis order, and its name.

    Raises
    ------
    InputError
        For an unknown object, and for what is no scalar 3-D image.
    """
    kind = _known(source)
    if kind == "nibabel":
        return _own(nifti.of_image(source, _name(source, kind))), _name(source, kind)
    data, affine = _array_and_affine(source, kind)
    data, notes = checks.replace_implausible(data, kind)
    return _own(RawVolume(checks.compact(data), affine, notes=notes)), _name(source, kind)


def read_labels_object(source: Any) -> tuple[RawVolume, str]:
    """Read a label map from an object of another library; see `read_object`."""
    kind = _known(source)
    if kind == "nibabel":
        return _own(nifti.labels_of_image(source, _name(source, kind))), _name(source, kind)
    data, affine = _array_and_affine(source, kind)
    data = data.astype(np.uint8) if data.dtype == bool else data
    data, notes = checks.whole(data, kind)
    return _own(RawVolume(data, affine, notes=notes)), _name(source, kind)


def as_object(data: ArrayLike, volume: Volume | LabelVolume, kind: Kind) -> Any:
    """Convert a map on ``volume.grid`` to an object of another library, in the axis order that the volume came in.

    Parameters
    ----------
    data : (z, y, x) array
        Labels (integers, bool) or a map (floats).
    volume : Volume or LabelVolume
    kind : str
        ``nibabel``, ``simpleitk``, ``metatensor``, ``torchio``, ``xarray`` or ``array``, a pair of array and affine.

    Returns
    -------
    object
        Its positions are those of the volume: RAS+ mm, or LPS where the library's convention is that.

    Raises
    ------
    InputError
        If the kind is unknown or cannot hold a sheared or, for xarray, a rotated grid.
    """
    if kind not in KINDS:
        raise InputError("unknown kind of object", where="kind", found=kind, expected=", ".join(KINDS))
    source = volume.source_grid
    checked = checks.require_map(data, volume.shape, "data")
    if kind == "nibabel":
        return nifti.to_image(checked, source)
    array = np.ascontiguousarray(source.to_file(checked))
    if kind == "array":
        return array, source.affine.copy()
    if kind == "simpleitk":
        return _to_simpleitk(array, source)
    if kind == "xarray":
        return _to_xarray(array, source)
    return _to_tensor(array, source, kind)


def _own(raw: RawVolume) -> RawVolume:
    """Copy the values: the caller's array must not be turned in place, nor change what was read from it."""
    return replace(raw, data=raw.data.copy(order="K"))


def _known(source: object) -> Kind:
    kind = kind_of(source)
    if kind is None:
        raise InputError("not a volume", found=f"an object of type {type(source).__name__}", expected=EXPECTED)
    return kind


def _name(source: Any, kind: Kind) -> str:
    """Name for display: that of the file that the object was read from, else its kind."""
    if kind == "nibabel":
        path = source.get_filename()
    elif kind == "metatensor":
        path = source.meta.get("filename_or_obj")
    else:
        path = getattr(source, "path", None) if kind == "torchio" else None
    return nifti.stem(Path(str(path))) if path else "volume"


def _array_and_affine(source: Any, kind: Kind) -> tuple[NDArray, Affine]:
    """Values and affine to RAS+ mm, in the axis order of the object."""
    if kind == "simpleitk":
        return itk.of_image(source, kind)
    if kind == "xarray":
        return _of_xarray(source)
    if kind == "array":
        array, affine = source
    else:
        array, affine = source.numpy() if kind == "torchio" else source, source.affine
        if kind == "metatensor" and str(source.meta.get("space", "RAS")).upper() == "LPS":
            affine = _LPS @ np.asarray(affine, float)
    values = _values(array, kind)
    if kind in ("metatensor", "torchio") and values.ndim == 4 and values.shape[0] == 1:  # channel first
        values = values[0]
    if values.ndim != 3:
        raise InputError("not a 3-D image", where=kind, found=f"shape {values.shape}", expected="three axes")
    try:
        matrix = np.asarray(_values(affine, kind), float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (4, 4):
        raise InputError("not an affine", where=kind, found=f"shape {matrix.shape}", expected="a 4 x 4 matrix")
    return values, checks.require_affine(matrix, kind)


def _values(array: Any, kind: Kind) -> NDArray:
    """Numbers of an array or tensor, wherever it lies."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        array = array.as_tensor() if hasattr(array, "as_tensor") else array
        array = (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()
    values = np.asarray(array)
    if values.dtype.kind not in "iufb":
        raise InputError("not a scalar image", where=kind, found=str(values.dtype), expected="one number per voxel")
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _of_xarray(source: Any) -> tuple[NDArray, Affine]:
    """An array with a coordinate in mm for each of the dimensions x, y and z.

    They are RAS+, as everywhere here, unless attributes hold ITK's ``direction``: then the axes are those of ITK, LPS.
    """
    source = source.squeeze()
    dims = tuple(str(dim) for dim in source.dims)
    if sorted(dims) != ["x", "y", "z"] or not all(dim in source.coords for dim in dims):
        raise InputError(
            "not a volume in space", where="xarray", found=f"dimensions {dims}",
            expected="dimensions x, y and z, each with coordinates in mm",
        )  # fmt: skip
    affine = np.eye(4)
    directions = np.eye(3)
    is_itk = "direction" in source.attrs
    if is_itk:
        # ITK's rows and columns are in the order of the array's dimensions, z first.
        directions = np.asarray(source.attrs["direction"], float)[::-1, ::-1]
    origin = np.zeros(3)
    for axis, dim in enumerate(dims):
        world = "xyz".index(dim)
        places = np.asarray(source.coords[dim], float)
        steps = np.diff(places)
        if len(steps) == 0 or not np.isfinite(steps).all() or np.ptp(steps) > _EVEN * abs(steps[0]) or steps[0] == 0:
            raise InputError("slices are not evenly spaced", where=f"xarray, {dim}", expected="even coordinates in mm")
        affine[:3, axis] = directions[:, world] * (places[-1] - places[0]) / len(steps)
        origin[world] = places[0]
    affine[:3, 3] = origin
    return _values(source.values, "xarray"), checks.require_affine(_LPS @ affine if is_itk else affine, "xarray")


def _to_simpleitk(array: NDArray, source: SourceGrid) -> Any:
    if checks.shear_degrees(source.affine) > 1e-3:
        raise InputError("SimpleITK images hold no shear", where="kind", hint="use nibabel")
    image = itk.import_sitk().GetImageFromArray(array.transpose())
    affine = _LPS @ source.affine
    spacing = geometry.spacing(affine)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _to_xarray(array: NDArray, source: SourceGrid) -> Any:
    import xarray

    if geometry.obliqueness_degrees(source.affine) > 1e-3:
        raise InputError("coordinates of xarray hold no rotation", where="kind", hint="use nibabel")
    coordinates = {}
    for axis in range(3):
        world = int(np.abs(source.affine[:3, axis]).argmax())
        first, step = source.affine[world, 3], source.affine[world, axis]
        coordinates["xyz"[world]] = first + step * np.arange(array.shape[axis])
    return xarray.DataArray(array, coordinates, list(coordinates), attrs={"space": "RAS", "units": "mm"})


def _to_tensor(array: NDArray, source: SourceGrid, kind: Kind) -> Any:
    import torch

    tensor, affine = torch.from_numpy(array)[None], source.affine.copy()
    if kind == "metatensor":
        from monai.data import MetaTensor

        return MetaTensor(tensor, affine=torch.from_numpy(affine), meta={"space": "RAS"})
    import torchio

    is_map = np.issubdtype(array.dtype, np.floating)
    return (torchio.ScalarImage if is_map else torchio.LabelMap)(tensor=tensor, affine=affine)
