"""The Zarr arrays of an entry: writing them, and checks before any of them is read.

An entry may have been damaged, or made by somebody else, so it is not trusted: an array is opened only if its metadata
are exactly those that this module writes (no other codec, no other shape), links are refused, and every chunk carries
a checksum.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

METADATA = "zarr.json"
HALF_WRITTEN = re.compile(r".+\.[0-9a-f]{32}\.partial")
"""Names under which zarr writes a file before it gives it its own."""

_LARGEST_METADATA_BYTES = 100_000


class UnusableEntryError(InputError):
    """Features on disk that are damaged, incomplete, or inconsistent with their metadata."""


def create_array(folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> Any:
    """Create an empty array; float16 is stored as it is (noise does not compress), masks are compressed."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    compressors = [Crc32cCodec()] if dtype == "float16" else [ZstdCodec(level=1), Crc32cCodec()]
    return zarr.create_array(
        folder,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        compressors=compressors,
        fill_value=0,
        # A chunk that is all zero must differ from one that is missing.
        config={"write_empty_chunks": True},
    )


def open_array(folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> Any:
    """Open an array that was written by `create_array` with the same arguments.

    Raises
    ------
    UnusableEntryError
        If it differs.
    """
    import zarr

    found = read_metadata(folder)
    expected = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "storage_transformers": [],
    }
    wrong = [key for key, value in expected.items() if found.get(key) != value]
    codecs = found.get("codecs")
    listed = codecs if isinstance(codecs, list) else []
    names = [codec.get("name") if isinstance(codec, dict) else codec for codec in listed]
    if names != (["bytes", "crc32c"] if dtype == "float16" else ["bytes", "zstd", "crc32c"]):
        wrong.append("codecs")
    if wrong:
        raise UnusableEntryError("not an array of features", where=folder, found=f"another {', '.join(wrong)}")
    return zarr.open_array(folder, mode="r+", config={"write_empty_chunks": True})


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read the metadata of an array or a group, unchecked but for their size and syntax."""
    path = folder / METADATA
    try:
        if path.stat().st_size > _LARGEST_METADATA_BYTES:
            raise UnusableEntryError("metadata of features are too long", where=path)
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableEntryError("unreadable features", where=path, found=error) from error
    if not isinstance(content, dict):
        raise UnusableEntryError("unreadable features", where=path, found=type(content).__name__)
    return content


def refuse_links(folder: Path) -> None:
    """Raise if a folder, or anything in it, is a link: writes must stay inside the folder."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            raise UnusableEntryError("a link among features", where=path, hint="remove it")


def all_finite(data: NDArray[np.float16]) -> bool:
    """Whether a chunk has neither NaN nor infinity; `numpy.isfinite` is many times slower for float16."""
    exponent = np.uint16(0x7C00)
    return not bool(((np.ascontiguousarray(data).view(np.uint16) & exponent) == exponent).any())


def read_chunk(array: Any, part: tuple[slice, ...]) -> NDArray | None:
    """Read a part that was written as a whole; None if its checksum or its length is wrong."""
    try:
        return np.asarray(array[part])
    except Exception:  # whatever a decoder makes of bytes that are not what was written
        return None
