"""Writing of NRRD files (Nearly Raw Raster Data), which 3D Slicer and ITK read."""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..spatial import SourceGrid
from ..util.atomic_file import atomic_path

SUFFIX = ".nrrd"
_TYPES = {
    "u1": "uint8",
    "i1": "int8",
    "u2": "uint16",
    "i2": "int16",
    "u4": "uint32",
    "i4": "int32",
    "u8": "uint64",
    "i8": "int64",
    "f4": "float",
    "f8": "double",
}
_LPS = np.array([-1.0, -1.0, 1.0])


def write(path: Path, data: NDArray, source: SourceGrid, values: Mapping[str, str] | None = None) -> None:
    """Write ``(z, y, x)`` or ``(z, y, x, 3)`` data on the grid of a file, compressed and atomically.

    Parameters
    ----------
    path : Path
    data : array
        The last axis of a 4-D array holds colors.
    source : SourceGrid
        Its order of axes is that of the file. Rotation and shear are kept.
    values : mapping of str to str, optional
        Further entries of the header.
    """
    array = source.to_file(data)
    header = _header(array, source, values or {})
    with atomic_path(path, SUFFIX) as temporary, temporary.open("wb") as file:
        file.write(header.encode())
        packer = zlib.compressobj(6, wbits=31)
        for part in _slices(array):
            file.write(packer.compress(part))
        file.write(packer.flush())


def _header(array: NDArray, source: SourceGrid, values: Mapping[str, str]) -> str:
    is_rgb = array.ndim == 4
    axes = source.affine[:3, :3].T * _LPS
    kinds = ["RGB-color"] * is_rgb + ["domain"] * 3
    directions = ["none"] * is_rgb + [_vector(axis) for axis in axes]
    sizes = [3] * is_rgb + list(source.shape)
    lines = [
        "NRRD0005",
        f"type: {_TYPES[array.dtype.str[1:]]}",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(source.affine[:3, 3] * _LPS)}",
        *(f"{key}:={_escaped(value)}" for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n\n"


def _slices(array: NDArray) -> Iterator[bytes]:
    """Bytes of one slice after the other, the first axis of the file fastest, colors before it."""
    little = array.dtype.newbyteorder("<")
    for number in range(array.shape[2]):
        part = array[:, :, number]
        yield np.ascontiguousarray(part.swapaxes(0, 1), little).tobytes()


def _vector(values: NDArray) -> str:
    return f"({','.join(repr(float(v) + 0.0) for v in values)})"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def unescaped(value: str) -> str:
    """Undo the escapes of a value in a header."""
    return re.sub(r"\\(n|\\)", lambda match: "\n" if match[1] == "n" else "\\", value)
