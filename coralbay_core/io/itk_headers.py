"""Headers of NRRD and MetaImage files, checked before ITK sees them.

ITK trusts headers: some crash the process, some make it read other files, and compressed data that are damaged become
zeros. What is checked here is what ITK's result depends on: dimensions and sizes, the type, that the voxels lie in this
file or in one beside it, and that they are all there.
"""

import bz2
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from .nifti_file import gzip_blocks

_HEAD_BYTES = 1 << 20
_BLOCK = 1 << 20
_MOST_PADDING = 16 << 20
_LONGEST_KEY = 200
_LONGEST_TEXT = 250
_LONGEST_VALUE = 30_000

_META_BYTES = {
    name: size
    for size, names in {
        1: ("MET_CHAR", "MET_UCHAR"),
        2: ("MET_SHORT", "MET_USHORT"),
        4: ("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"),
        8: ("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"),
    }.items()
    for name in names
}
# Fields of MetaIO with a buffer of fixed length.
_META_TEXTS = ("Comment", "Name", "ObjectType", "ObjectSubType", "AcquisitionDate", "TransformType", "DistanceUnits")
_NRRD_BYTES = {
    name: size
    for size, names in {
        1: "signed char|int8|int8_t|uchar|unsigned char|uint8|uint8_t",
        2: "short|short int|signed short|signed short int|int16|int16_t|ushort|unsigned short|unsigned short int|uint16"
        "|uint16_t",
        4: "int|signed int|int32|int32_t|uint|unsigned int|uint32|uint32_t|float",
        8: "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t|ulonglong"
        "|unsigned long long|unsigned long long int|uint64|uint64_t|double",
    }.items()
    for name in names.split("|")
}
_NRRD_ENCODINGS = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "txt": "text",
    "text": "text",
    "ascii": "text",
    "hex": "hex",
}


@dataclass(frozen=True)
class _Layout:
    """Where the voxels of a file lie and how long they are."""

    data: Path
    offset: int
    encoding: str
    count: int
    voxel_bytes: int


def check(path: Path) -> None:
    """Raise unless the header is sound and all voxels that it promises are there."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        layout = _nrrd(path, head) if head.startswith(b"NRRD") else _meta_image(path, head)
        _require_data(layout, path)
    except (ValueError, OverflowError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise _refused(path, str(error)[:120] or type(error).__name__) from error


def _refused(path: Path, found: object, expected: object = None) -> InputError:
    return InputError("not a readable image", where=path, found=found, expected=expected, hint="copy it again")


# --- MetaImage ----------------------------------------------------------------------------------------------------


def _meta_image(path: Path, head: bytes) -> _Layout:
    fields, offset = _meta_fields(path, head)
    dimensions = _whole(path, fields, "NDims")
    if not 1 <= dimensions <= 5:
        raise _refused(path, f"NDims of {dimensions}", "3")
    sizes = _sizes(path, fields.get("DimSize", ""), dimensions)
    for name, count in (("ElementSpacing", dimensions), ("ElementSize", dimensions)):
        if name in fields:
            _require_numbers(path, name, fields[name].split(), count, above_zero=True)
    for name in ("Offset", "Position", "Origin", "CenterOfRotation"):
        if name in fields:
            _require_numbers(path, name, fields[name].split(), dimensions)
    for name in ("TransformMatrix", "Rotation", "Orientation"):
        if name in fields:
            _require_numbers(path, name, fields[name].split(), dimensions**2)
    kind = fields.get("ElementType", "")
    if kind.removesuffix("_ARRAY") not in _META_BYTES:
        raise _refused(path, f"ElementType {kind[:40]!r}", "a type of numbers")
    channels = _whole(path, fields, "ElementNumberOfChannels", 1)
    if not 1 <= channels <= 1000:
        raise _refused(path, f"{channels} channels", "one number per voxel")
    packed = fields.get("CompressedData", "False").lower() in ("true", "t", "1")
    voxel_bytes = channels * _META_BYTES[kind.removesuffix("_ARRAY")]
    count = prod(sizes)
    encoding = "zlib" if packed else "raw"
    if fields.get("BinaryData", "True").lower() in ("false", "f", "0"):
        encoding = "text"
    data = fields["ElementDataFile"]
    if data.upper() == "LOCAL":
        return _Layout(path, offset, encoding, count, voxel_bytes)
    beside, skip = _beside(path, data), _whole(path, fields, "HeaderSize", 0)
    if skip == -1:
        skip = max(0, beside.stat().st_size - count * voxel_bytes)
    if skip < 0:
        raise _refused(path, f"HeaderSize of {skip}", "0 or more")
    return _Layout(beside, skip, encoding, count, voxel_bytes)


def _meta_fields(path: Path, head: bytes) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", start)
        if end < 0:
            raise _refused(path, "no ElementDataFile" if fields else "another kind of content", "a header of MetaImage")
        name, equals, value = head[start:end].decode("latin-1").partition("=")
        name, value = name.strip(), value.strip()
        longest = _LONGEST_TEXT if name in _META_TEXTS else _LONGEST_VALUE
        if (name and not equals) or len(name) > _LONGEST_KEY or len(value) > longest:
            raise _refused(path, f"the line {head[start:end].decode('latin-1')[:40]!r}", "a name = a value")
        if name:
            fields[name] = value
        start = end + 1
    return fields, start


def _whole(path: Path, fields: dict[str, str], name: str, default: int | None = None) -> int:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise _refused(path, f"{name} {'missing' if text is None else repr(text[:40])}", "a whole number")
    return int(text)


# --- NRRD ---------------------------------------------------------------------------------------------------------


def _nrrd(path: Path, head: bytes) -> _Layout:
    fields, offset = _nrrd_fields(path, head)
    dimensions = _whole(path, fields, "dimension")
    if not 1 <= dimensions <= 8:
        raise _refused(path, f"{dimensions} dimensions", "3")
    sizes = _sizes(path, fields.get("sizes", ""), dimensions)
    if "spacings" in fields:
        parts = fields["spacings"].split()
        known = [part for part in parts if part.lower() != "nan"]  # of axes that are not in space
        _require_numbers(
            path, "spacings", known, len(known) if len(parts) == dimensions else dimensions, above_zero=True
        )
    for name in ("space directions", "space origin"):
        vectors = re.findall(r"\(([^()]*)\)", fields.get(name, ""))
        for vector in vectors:
            _require_numbers(path, name, vector.split(","), len(vectors[0].split(",")))
    kind, encoding = fields.get("type", "").lower(), fields.get("encoding", "").lower()
    if kind not in _NRRD_BYTES:
        raise _refused(path, f"type {kind[:40]!r}", "a type of numbers")
    if encoding not in _NRRD_ENCODINGS:
        raise _refused(path, f"encoding {encoding[:40]!r}", "raw, gzip, bzip2, text or hex")
    data = fields.get("data file", fields.get("datafile"))
    beside = path if data is None else _beside(path, data)
    lines = _whole(path, fields, "line skip", _whole(path, fields, "lineskip", 0))
    skip = _whole(path, fields, "byte skip", _whole(path, fields, "byteskip", 0))
    count = prod(sizes)
    start = _after_lines(beside, offset if data is None else 0, lines, path)
    if skip == -1 and _NRRD_ENCODINGS[encoding] == "raw":
        skip = max(0, beside.stat().st_size - start - count * _NRRD_BYTES[kind])
    if skip < 0:
        raise _refused(path, f"a byte skip of {skip}", "0 or more")
    return _Layout(beside, start + skip, _NRRD_ENCODINGS[encoding], count, _NRRD_BYTES[kind])


def _nrrd_fields(path: Path, head: bytes) -> tuple[dict[str, str], int]:
    if not re.match(rb"NRRD000[1-6]\r?\n", head):
        raise _refused(path, head[:8].decode("latin-1"), "NRRD0001 to NRRD0006")
    fields: dict[str, str] = {}
    start = head.index(b"\n") + 1
    while True:
        end = head.find(b"\n", start)
        if end < 0 and len(head) == _HEAD_BYTES:
            raise _refused(path, "a header that does not end", "an empty line after it")
        line = head[start : end if end >= 0 else len(head)].decode("latin-1").strip("\r")
        start = end + 1 if end >= 0 else len(head)
        if not line:
            return fields, start
        if not line.startswith("#") and ":=" not in line:
            name, colon, value = line.partition(":")
            if not colon or len(name) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
                raise _refused(path, f"the line {line[:40]!r}", "a name: a value")
            fields[name.strip().lower()] = value.strip()


def _after_lines(data: Path, offset: int, lines: int, path: Path) -> int:
    if not 0 <= lines <= 100_000:
        raise _refused(path, f"a line skip of {lines}", "0 or more")
    with data.open("rb") as file:
        file.seek(offset)
        for _ in range(lines):
            file.readline(_HEAD_BYTES)
        return file.tell()


# --- both ---------------------------------------------------------------------------------------------------------


def _sizes(path: Path, text: str, dimensions: int) -> list[int]:
    parts = text.split()
    if len(parts) != dimensions or not all(re.fullmatch(r"\d{1,9}", part) and int(part) for part in parts):
        raise _refused(path, f"sizes {text[:40]!r}", f"{dimensions} whole numbers above 0")
    return [int(part) for part in parts]


def _require_numbers(path: Path, name: str, parts: list[str], count: int, *, above_zero: bool = False) -> None:
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != count or not all(isfinite(v) and (v > 0 or not above_zero) for v in values):
        expected = f"{count} numbers" + (" above 0" if above_zero else "")
        raise _refused(path, f"{name} {' '.join(parts)[:60]!r}", expected)


def _beside(path: Path, name: str) -> Path:
    """File with the voxels: only a single one in the folder of its header."""
    name = name.removeprefix("./")
    beside = path.parent / name
    inside = beside.name == name and name not in (".", "..") and "%" not in name and name.upper() != "LIST"
    if not inside or not beside.is_file() or beside.resolve().parent != path.parent.resolve():
        raise InputError(
            "voxels in another place",
            where=path,
            found=repr(name[:80]),
            expected="one file in the same folder",
            hint="convert it to .nii.gz where its parts are",
        )
    return beside


def _require_data(layout: _Layout, path: Path) -> None:
    expected, size = layout.count * layout.voxel_bytes, layout.data.stat().st_size - layout.offset
    if layout.encoding in ("raw", "text", "hex"):
        least = {"raw": expected, "text": layout.count, "hex": 2 * expected}[layout.encoding]
        if size < least:
            raise _refused(path, f"{max(size, 0)} bytes of voxels", f"{least} bytes")
        return
    # No compression of these shrinks more: a header that promises more lies.
    if expected > 50_000 * (size + 1):
        raise _refused(path, f"{max(size, 0)} compressed bytes", f"{expected} bytes")
    found = 0
    with layout.data.open("rb") as file:
        file.seek(layout.offset)
        try:
            for block in _unpacked(file, layout.encoding):
                found += len(block)
                if found > expected + _MOST_PADDING:
                    break
        except (zlib.error, OSError, EOFError) as error:
            raise _refused(path, f"damaged compressed data: {error}"[:120]) from error
    if not expected <= found <= expected + _MOST_PADDING:
        raise _refused(path, f"{found} bytes of voxels", f"{expected} bytes")


def _unpacked(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    if encoding == "gzip":
        yield from (block for block, _ in gzip_blocks(file))
        return
    stream: Any = bz2.BZ2Decompressor() if encoding == "bzip2" else zlib.decompressobj(wbits=47)  # zlib or gzip
    packed, at_end = b"", False
    while not stream.eof:
        if not packed and getattr(stream, "needs_input", True):
            packed = file.read(_BLOCK)
            at_end = not packed
        block = stream.decompress(packed, _BLOCK)
        packed = getattr(stream, "unconsumed_tail", b"")
        if at_end and not block and not stream.eof:
            raise EOFError("they end before their end marker")
        yield block
