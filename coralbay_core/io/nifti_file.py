"""NIfTI files on disk: what they hold, not what they are called, and never more than their header says.

A header is checked before anything is allocated or unpacked by it: sizes may lie, and a small gzip file may unpack to
more than the memory holds.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..errors import CoralBayError, InputError

UNREADABLE = (OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError, ArithmeticError)
_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 544  # of NIfTI-2, the longer one
_BLOCK = 1 << 20
# Some writers pad; what exceeds this is no padding.
_MOST_PADDING = 16 * _BLOCK


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """An opened file: the image of nibabel, voxels unread, and notes for the user."""

    image: Any
    notes: tuple[str, ...] = ()


def open_nifti(path: Path) -> NiftiFile:
    """Open a NIfTI file by its content; its size is checked against its header.

    Raises
    ------
    InputError
        If it is none, truncated, damaged, or holds much more than its header says.
    """
    import nibabel
    from nibabel.imageglobals import LoggingOutputSuppressor

    named_gz = path.name.lower().endswith(".gz")
    try:
        with LoggingOutputSuppressor(), path.open("rb") as file:
            is_gz = file.read(2) == _GZIP
            file.seek(0)
            if is_gz:
                content, notes = _unpacked(file, path)
                if not named_gz:
                    notes = (*notes, "the file is compressed, though its name does not end in .gz")
                return NiftiFile(_image_class(content, path).from_bytes(content), notes)
            head = file.read(_HEAD_BYTES)
            expected, size = expected_bytes(head, path), path.stat().st_size
            if size < expected:
                raise _truncated(path, size, expected)
            if named_gz:
                file.seek(0)
                note = "the file is not compressed, though its name ends in .gz"
                return NiftiFile(_image_class(head, path).from_bytes(file.read()), (note,))
            image = nibabel.load(path, mmap=False)
    except CoralBayError:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise InputError("not a readable NIfTI file", where=path, found=short(error, path)) from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise InputError("not a NIfTI file", where=path, found=type(image).__name__, hint="convert it to .nii.gz")
    return NiftiFile(image)


def expected_bytes(head: bytes, path: Path) -> int:
    """Compute the length of an uncompressed file from its header."""
    header = _image_class(head, path).header_class(head[: _header_bytes(head)], check=False)
    count = 1
    for length in header.get_data_shape():
        if length < 1:
            raise ValueError(f"an axis of {length} voxels")
        count *= int(length)
    return max(0, int(header["vox_offset"])) + count * header.get_data_dtype().itemsize


def damaged(error: Exception, path: Path) -> InputError:
    """Make the error for voxels that cannot be read."""
    return InputError("truncated or damaged file", where=path, found=short(error, path), hint="copy it again")


def short(error: Exception, path: Path) -> str:
    """First line of the error message of another library, without the path."""
    text = str(error).removeprefix(f"File {path} is ").replace(str(path), "the file") or type(error).__name__
    return text.splitlines()[0][:120]


def header_texts(path: Path, most_bytes: int) -> list[str]:
    """Read the extensions of a header as texts; empty where there are none.

    Parameters
    ----------
    path : Path
    most_bytes : int
        Extensions that end behind these bytes of the file are not read.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            head = gzip.GzipFile(fileobj=file).read(most_bytes) if packed else file.read(most_bytes)
        size = _header_bytes(head)
        image_class = _image_class(head, path)
        end = min(int(image_class.header_class(head[:size], check=False)["vox_offset"]), len(head))
    except (*UNREADABLE, InputError):
        return []
    order: Literal["little", "big"] = "little" if int.from_bytes(head[:4], "little") == size else "big"
    texts, start = [], size + 4
    while head[size : size + 1] != b"\0" and start + 8 <= end:
        length = int.from_bytes(head[start : start + 4], order)
        if length < 8 or start + length > end:
            break
        texts.append(head[start + 8 : start + length].decode("utf-8", errors="replace"))
        start += length
    return texts


def _header_bytes(head: bytes) -> int:
    return 540 if 540 in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")) else 348


def _image_class(head: bytes, path: Path) -> Any:
    import nibabel

    lengths = int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")
    if len(head) < 348 or not {348, 540} & set(lengths):
        found = "an empty file" if not head else "another kind of content"
        raise InputError("not a readable NIfTI file", where=path, found=found, expected="a header of 348 or 540 bytes")
    return nibabel.Nifti2Image if 540 in lengths else nibabel.Nifti1Image


def _unpacked(file: BinaryIO, path: Path) -> tuple[bytes, tuple[str, ...]]:
    """Unpack to memory and check the checksum, which nibabel does not reach: it stops at the last voxel."""
    unpacked, expected, notes = io.BytesIO(), None, []
    try:
        for block, trailing in gzip_blocks(file):
            if trailing:
                notes.append("bytes after the end of the compressed data were ignored")
            unpacked.write(block)
            if expected is None and unpacked.tell() >= _HEAD_BYTES:
                expected = expected_bytes(unpacked.getvalue()[:_HEAD_BYTES], path)
                if expected > 1100 * path.stat().st_size + _HEAD_BYTES:  # deflate shrinks to no less than 1 / 1032
                    raise _truncated(path, "at most a part of it", expected)
            if expected is not None and unpacked.tell() > expected + _MOST_PADDING:
                raise InputError(
                    "more data than the header says",
                    where=path,
                    found=f"more than {unpacked.tell()} bytes",
                    expected=f"{expected} bytes",
                    hint="the file is damaged or made to fill the memory",
                )
    except zlib.error as error:
        raise damaged(error, path) from error
    if expected is None:
        expected = expected_bytes(unpacked.getvalue(), path)
    if unpacked.tell() < expected:
        raise _truncated(path, unpacked.tell(), expected)
    return unpacked.getvalue(), tuple(notes)


def gzip_blocks(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Unpacked blocks of all members of a gzip file, and whether bytes follow that are no member."""
    packed = file.read(_BLOCK)
    while packed:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            block = member.decompress(packed, _BLOCK)
            packed = member.unconsumed_tail
            if not packed and not member.eof:
                packed = file.read(_BLOCK)
                if not packed and not block:
                    raise zlib.error("compressed file ended before its end marker")
            if block:
                yield block, False
        packed = member.unused_data + file.read(_BLOCK)
        while packed and not packed.strip(b"\0"):  # padding of tapes and some archives
            packed = file.read(_BLOCK)
        if packed and not packed.lstrip(b"\0").startswith(_GZIP):
            yield b"", True
            return
        packed = packed.lstrip(b"\0")


def _truncated(path: Path, found: object, expected: int) -> InputError:
    return InputError(
        "truncated or damaged file",
        where=path,
        found=found if isinstance(found, str) else f"{found} bytes",
        expected=f"{expected} bytes by its header",
        hint="copy it again",
    )
