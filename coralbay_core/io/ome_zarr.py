"""OME-Zarr images, versions 0.4 and 0.5: one level of the pyramid is read, and pyramids are written.

Axes have a scale and an offset, and no rotation. In which direction of the patient they run is optional (RFC-4 of
OME-NGFF); without it the caller has to state it.
"""

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, StorageError
from ..spatial import Grid, geometry
from ..spatial.geometry import Affine
from ..spatial.label_colors import Color, colors_of
from . import checks
from .label_tables import LabelTable
from .raw import RawVolume

SUFFIXES = (".ome.zarr", ".zarr")
_METADATA = ("zarr.json", ".zattrs")
_MM_PER_UNIT = {
    "millimeter": 1.0, "mm": 1.0, "micrometer": 1e-3, "um": 1e-3, "nanometer": 1e-6, "nm": 1e-6,
    "centimeter": 10.0, "cm": 10.0, "meter": 1e3, "m": 1e3,
}  # fmt: skip
_WORDS = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
_DIRECTIONS = {f"{_WORDS[_OPPOSITE[code]]}-to-{_WORDS[code]}": code for code in _WORDS}
_CHUNK = 64
_SMALLEST = 64
_OBLIQUE_DEGREES = 0.05
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError)


@dataclass(frozen=True)
class _Level:
    """One array of a pyramid.

    Parameters
    ----------
    array : zarr.Array
    affine : (4, 4) float64 array
        Index along the spatial axes, in the order of the array, to RAS+ mm.
    spatial : tuple of int
        Axes of the array that are axes of space.
    """

    array: Any
    affine: Affine
    spatial: tuple[int, ...]


def looks_like(path: Path) -> bool:
    """Whether a folder is an image of OME-Zarr, or one level of it."""
    if not path.is_dir():
        return False
    return _multiscale(path) is not None or (_is_array(path) and _multiscale(path.parent) is not None)


def read(path: Path, orientation: str | None = None) -> RawVolume:
    """Read a CT: the finest level of the pyramid that fits into the free memory, or the level whose folder is given.

    Parameters
    ----------
    path : Path
        The image, ``ct.ome.zarr``, or one level of it, ``ct.ome.zarr/1``.
    orientation : str, optional
        Directions of the patient in which x, y and z grow, such as ``LPS``; needed where the image does not state
        them. Coordinates grow in these directions, too.

    Raises
    ------
    InputError
    """
    data, affine, notes = _read(path, orientation)
    data, more = checks.replace_implausible(data, path)
    return RawVolume(checks.compact(data), affine, notes=notes + more)


def read_labels(path: Path, orientation: str | None = None) -> tuple[RawVolume, LabelTable]:
    """Read a label map with its names and colors; as `read`."""
    data, affine, notes = _read(path, orientation)
    data, more = checks.whole(data, path)
    return RawVolume(data, affine, notes=notes + more), _table(path)


def write(
    path: Path, data: NDArray, grid: Grid, names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
) -> None:  # fmt: skip
    """Write a pyramid of OME-Zarr 0.5, whole or not at all; each level has half the resolution of the one before.

    Parameters
    ----------
    path : Path
        Ends in ``.zarr``; an image of OME-Zarr that is there is replaced.
    data : (z, y, x) or (C, z, y, x) array
        Integers are halved by taking every second voxel, floats by their mean.
    grid : Grid
        Of the three last axes.
    names, colors : mapping, optional
        Of label values.

    Raises
    ------
    InputError
        For a rotated or sheared grid, which OME-Zarr cannot hold.
    """
    require_straight(grid, path)
    if path.exists() and not looks_like(path):
        raise InputError("something else is in the way", where=path, hint="choose another output path")
    turned = grid.orientation
    data = np.stack([turned.from_file(part) for part in data]) if data.ndim == 4 else turned.from_file(data)
    temporary, before = (path.with_name(f".coralbay-{uuid.uuid4().hex}.part") for _ in range(2))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_levels(temporary, data, turned.grid, names or {}, colors or {})
        if path.exists():
            path.replace(before)
        temporary.replace(path)
    except OSError as error:
        raise StorageError("cannot write", where=path, found=error.strerror or error) from error
    finally:
        if before.exists() and not path.exists():
            before.replace(path)
        for leftover in (temporary, before):
            shutil.rmtree(leftover, ignore_errors=True)


def require_straight(grid: Grid, where: object) -> None:
    """Raise for a grid whose axes are not those of the patient."""
    if geometry.obliqueness_degrees(grid.affine) > _OBLIQUE_DEGREES:
        raise InputError(
            "OME-Zarr holds no rotation",
            where=where,
            found=f"axes rotated by {geometry.obliqueness_degrees(grid.affine):.1f} degrees",
            hint="write .nrrd or .nii.gz",
        )


# --- reading ------------------------------------------------------------------------------------------------------


def _multiscale(path: Path) -> dict[str, Any] | None:
    """First image of a group; of a conversion by bioformats2raw see `_image`."""
    for name in _METADATA:
        try:
            content = json.loads((path / name).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        attributes = content.get("attributes", {}) if name == "zarr.json" and isinstance(content, dict) else content
        if isinstance(attributes, dict):
            ome = attributes.get("ome", attributes)
            found = ome.get("multiscales") if isinstance(ome, dict) else None
            if isinstance(found, list) and found and isinstance(found[0], dict):
                return found[0] | {"label": ome.get("image-label")}
    return None


def _is_array(path: Path) -> bool:
    if (path / ".zarray").is_file():
        return True
    with suppress(OSError, ValueError, AttributeError):
        return json.loads((path / "zarr.json").read_text("utf-8")).get("node_type") == "array"
    return False


def _read(path: Path, orientation: str | None) -> tuple[NDArray, Affine, tuple[str, ...]]:
    is_level = _multiscale(path) is None
    image = path.parent if is_level else path
    about = _multiscale(image) or {}
    try:
        datasets = [entry for entry in about["datasets"] if not is_level or image / entry["path"] == path]
        axes = _axes(about)
        chosen, skipped = _finest(image, datasets)
        level = _level(image, chosen, about, axes, orientation)
        data = _values(level, image)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            "not a readable image of OME-Zarr", where=path, found=str(error)[:120] or type(error).__name__
        ) from error
    notes: tuple[str, ...] = ()
    if skipped:
        shape = " x ".join(map(str, data.shape))
        notes = (f"level {chosen['path']} of the pyramid was read ({shape}): finer ones do not fit into the memory",)
    return data, checks.require_affine(level.affine, path), notes


def _axes(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Axes; before version 0.4 they were names alone."""
    named = [axis if isinstance(axis, dict) else {"name": str(axis)} for axis in about["axes"]]
    return [axis if "type" in axis or axis["name"] not in "xyz" else axis | {"type": "space"} for axis in named]


def _finest(image: Path, datasets: list[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """Finest level that fits into the free memory, and the number of finer ones."""
    import psutil

    most = psutil.virtual_memory().available // 3
    for number, entry in enumerate(datasets):
        array = _open(image / entry["path"])
        if int(np.prod(array.shape, dtype=np.int64)) * max(4, array.dtype.itemsize) <= most:
            return entry, number
    raise InputError("image does not fit into the memory", where=image, hint="write a coarser level of the pyramid")


def _open(path: Path) -> Any:
    import zarr

    return zarr.open_array(str(path), mode="r")


def _level(
    image: Path, entry: Mapping[str, Any], about: Mapping[str, Any], axes: list[dict[str, Any]], orientation: str | None
) -> _Level:
    array = _open(image / entry["path"])
    spatial = tuple(number for number, axis in enumerate(axes) if axis.get("type") == "space")
    if len(spatial) != 3 or len(axes) != array.ndim:
        raise InputError(
            "not a volume", where=image, found=f"axes {', '.join(str(a['name']) for a in axes)}", expected="x, y and z"
        )
    scale, offset = np.ones(len(axes)), np.zeros(len(axes))
    for step in [*entry.get("coordinateTransformations", ()), *(about.get("coordinateTransformations") or ())]:
        if step["type"] == "scale":
            scale, offset = scale * step["scale"], offset * step["scale"]
        elif step["type"] == "translation":
            offset = offset + step["translation"]
        elif step["type"] != "identity":
            raise InputError("unknown transformation", where=image, found=str(step["type"])[:40])
    codes = _codes([axes[number] for number in spatial], orientation, image)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (number, code) in enumerate(zip(spatial, codes, strict=True)):
        unit = axes[number].get("unit") or "millimeter"
        if unit not in _MM_PER_UNIT:
            raise InputError("unknown unit of length", where=image, found=str(unit)[:40], expected="millimeter")
        world = "RAS".find(code) if code in "RAS" else "LPI".find(code)
        sign = _MM_PER_UNIT[unit] * (1 if code in "RAS" else -1)
        affine[world, axis] = sign * scale[number]
        affine[world, 3] = sign * offset[number]
    return _Level(array, affine, spatial)


def _codes(axes: Sequence[Mapping[str, Any]], orientation: str | None, where: Path) -> list[str]:
    """Direction in which each spatial axis grows."""
    if orientation is not None:
        wanted = dict(zip("xyz", _require_codes(orientation), strict=True))
        return [wanted[str(axis["name"]).lower()] for axis in axes]
    stated = []
    for axis in axes:
        value = axis.get("orientation") or axis.get("anatomicalOrientation")
        stated.append(str(value.get("value") if isinstance(value, dict) else value or "").lower())
    if not all(text in _DIRECTIONS for text in stated):
        raise InputError(
            "orientation of the axes is not known",
            where=where,
            found=f"axes {', '.join(str(axis['name']) for axis in axes)} without an anatomical orientation",
            expected="directions in which x, y and z grow",
            hint="give them to `coralbay convert --orientation LPS` or load_volume(..., orientation='LPS'): LPS for "
            "images made from DICOM or by ITK, RAS for images made from NIfTI",
        )
    return [_DIRECTIONS[text] for text in stated]


def _require_codes(orientation: str) -> str:
    codes = orientation.strip().upper()
    if len(codes) != 3 or {frozenset(pair) for pair in ("RL", "AP", "SI")} != {
        frozenset((code, _OPPOSITE.get(code, ""))) for code in codes
    }:
        raise InputError(
            "not an orientation", where="--orientation", found=orientation, expected="three letters such as LPS or RAS"
        )
    return codes


def _values(level: _Level, image: Path) -> NDArray:
    other = [n for n in range(level.array.ndim) if n not in level.spatial]
    if any(level.array.shape[n] > 1 for n in other):
        raise InputError(
            "several channels or points in time",
            where=image,
            found=" x ".join(map(str, level.array.shape)),
            expected="one volume",
        )
    index = tuple(slice(None) if n in level.spatial else 0 for n in range(level.array.ndim))
    data = np.asarray(level.array[index])
    checks.require_3d(data.shape, image)
    if data.dtype.kind not in "iufb":
        raise InputError("not a scalar image", where=image, found=str(data.dtype), expected="one number per voxel")
    if data.dtype == bool:
        return data.astype(np.uint8)
    return data.astype(np.float32) if data.dtype == np.float16 else data


def _table(path: Path) -> LabelTable:
    about = (_multiscale(path) or _multiscale(path.parent) or {}).get("label") or {}
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    with suppress(*_UNREADABLE):
        for entry in about.get("colors", ()):
            red, green, blue = (int(v) for v in entry["rgba"][:3])
            colors[int(entry["label-value"])] = (red, green, blue)
        for entry in about.get("properties", ()):
            name = entry.get("name") or entry.get("class")
            if name:
                names[int(entry["label-value"])] = str(name)
    return LabelTable(names, colors)


# --- writing ------------------------------------------------------------------------------------------------------


def _write_levels(
    folder: Path, data: NDArray, grid: Grid, names: Mapping[int, str], colors: Mapping[int, Color]
) -> None:
    import zarr

    group = zarr.create_group(str(folder), zarr_format=3)
    axes = [_axis(name, code) for name, code in zip("zyx", geometry.axis_codes(grid.affine), strict=True)]
    channels = data.ndim - 3
    # Coordinates grow in the directions of the axes: an axis to the left has the negative of RAS.
    first = [sign * value for sign, value in zip((1, -1, -1), grid.affine[[2, 1, 0], 3], strict=True)]
    datasets, step = [], np.ones(3)
    offset = np.zeros(3)
    for number in range(16):
        scale = grid.spacing_mm * step
        place = np.array(first) + grid.spacing_mm * offset
        chunks = (1,) * channels + tuple(min(_CHUNK, n) for n in data.shape[channels:])
        array = group.create_array(
            str(number), shape=data.shape, dtype=data.dtype, chunks=chunks, dimension_names=["c"] * channels + [*"zyx"]
        )
        array[...] = data
        transforms = [
            {"type": "scale", "scale": [1.0] * channels + scale.tolist()},
            {"type": "translation", "translation": [0.0] * channels + place.tolist()},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": transforms})
        if max(data.shape[channels:]) <= _SMALLEST or channels:
            break
        halved = np.array([2 if n > 1 else 1 for n in data.shape])
        if not np.issubdtype(data.dtype, np.integer):
            offset = offset + step * (halved - 1) / 2
        step = step * halved
        data = _halved(data, halved)
    ome: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [
            {"axes": [{"name": "c", "type": "channel"}] * channels + axes, "datasets": datasets, "name": "image"}
        ],
    }
    if names:
        rows = colors_of(sorted(names), colors)
        ome["image-label"] = {
            "colors": [{"label-value": value, "rgba": [*color, 255]} for value, color in rows.items()],
            "properties": [{"label-value": value, "name": names[value]} for value in rows],
        }
    group.attrs["ome"] = ome


def _axis(name: str, code: str) -> dict[str, Any]:
    value = f"{_WORDS[_OPPOSITE[code]]}-to-{_WORDS[code]}"
    return {
        "name": name,
        "type": "space",
        "unit": "millimeter",
        "orientation": {"type": "anatomical", "value": value},
    }


def _halved(data: NDArray, steps: NDArray[np.intp]) -> NDArray:
    """Every second voxel of integers; the mean of two along each axis of floats, whose last odd one is left out."""
    if np.issubdtype(data.dtype, np.integer):
        return data[tuple(slice(None, None, int(step)) for step in steps)]
    for axis, step in enumerate(steps):
        if step == 2:
            count = data.shape[axis] // 2 * 2
            even = data.take(range(0, count, 2), axis)
            data = (even + data.take(range(1, count, 2), axis)) / data.dtype.type(2)
    return data
