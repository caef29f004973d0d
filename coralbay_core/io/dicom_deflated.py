"""Deflated DICOM files, which pydicom inflates as a whole: how much that gives is looked at first."""

import zlib
from pathlib import Path

from ..errors import InputError

_UID = b"1.2.840.10008.1.2.1.99"
_HEAD_BYTES = 4096
_BLOCK = 1 << 20
# A slice of 4096 x 4096 voxels has 34 MB.
_MOST_BYTES = 256 << 20
_PREFIX = 132
_GROUP_LENGTH = (12, 8)  # bytes of the element that holds the length of group 2, and where its value is


def require_bounded(path: Path) -> None:
    """Raise if a deflated file would take far more memory than a slice."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if _UID not in head:
            return
        start = _PREFIX if head[128:_PREFIX] == b"DICM" else 0
        size, at = _GROUP_LENGTH
        length = int.from_bytes(head[start + at : start + size], "little")
        file.seek(start + size + length)
        inflater, total, packed = zlib.decompressobj(wbits=-15), 0, b""
        while not inflater.eof and total <= _MOST_BYTES:
            packed = packed or file.read(_BLOCK)
            if not packed:
                return
            total += len(inflater.decompress(packed, _BLOCK))
            packed = inflater.unconsumed_tail
    if total > _MOST_BYTES:
        raise InputError(
            "more data than a slice has",
            where=path,
            found=f"more than {_MOST_BYTES >> 20} MB when inflated",
            hint="the file is damaged or made to fill the memory",
        )
