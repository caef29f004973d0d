"""Files of arrays with a description: safetensors, whose header holds JSON.

The format can hold neither code nor paths, nothing in it is decompressed, and its reader refuses tables of contents
that point outside the file or overlap. The rest is checked here: the file is of the expected kind and not absurdly
large, its JSON is an object, and its numbers are finite.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingFileError
from .atomic_file import atomic_path

MAX_BYTES = 2_000_000_000
MAX_HEADER_BYTES = 20_000_000
_HEADER_LENGTH = 8
_FORMAT = "format"
_ARRAYS = "arrays"


def write_tensors(
    path: str | Path, kind: str, version: int, arrays: Mapping[str, NDArray], about: Mapping[str, Any]
) -> Path:
    """Write arrays and their description atomically.

    Parameters
    ----------
    path : str or Path
        Missing folders are made.
    kind, version : str, int
        Kind and version of the content, for `read_tensors`.
    arrays : mapping of str to ndarray
    about : mapping
        Values of JSON types.
    """
    from safetensors.numpy import save_file

    header = {_FORMAT: f"{kind} {version}", kind: json.dumps(about, allow_nan=False), _ARRAYS: _names(arrays)}
    with atomic_path(path) as temporary, system_errors():
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, header)
    return Path(path)


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise what the system refuses to safetensors, such as a full disk, as the OSError that it is."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        number = re.search(r"(?:os error |Os \{ code: )(\d+)", str(error))  # safetensors 0.5 says the latter
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read_tensors(
    path: str | Path, kind: str, version: int, *, hint: str = "", max_bytes: int = MAX_BYTES
) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Read arrays and description of a file that `write_tensors` wrote.

    Raises
    ------
    MissingFileError, InputError
        If there is no file; if it cannot be read, is of another kind or a newer version, damaged, larger than
        `max_bytes`, or holds numbers that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no such {kind}", where=path)
    if path.stat().st_size > max_bytes:
        raise InputError(f"too large for a {kind}", where=path, found=f"{path.stat().st_size / 1e6:.0f} MB")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError("cannot read", where=path, found=error.strerror or error, hint=hint) from error
    try:
        metadata = _metadata(content)
        about = _description(metadata, kind, version, path)
        arrays = load(content)
        # Files of earlier versions do not list their arrays.
        if metadata.get(_ARRAYS, _names(arrays)) != _names(arrays):
            raise ValueError(f"arrays {_names(arrays)} instead of {metadata[_ARRAYS]}")
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a {kind}, or damaged", where=path, found=_line(error), hint=hint) from error
    for name, array in arrays.items():
        # Readers make them float32, in which larger values would be infinite.
        if array.dtype.kind == "f" and not (np.abs(array) <= np.finfo(np.float32).max).all():
            raise InputError(f"damaged {kind}", where=path, found=f"NaN or infinity in {name}", hint=hint)
    return arrays, about


def _names(arrays: Mapping[str, NDArray]) -> str:
    return " ".join(sorted(arrays))


def _metadata(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:_HEADER_LENGTH], "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(content) - _HEADER_LENGTH):
        raise ValueError("it has no header of safetensors")
    metadata = json.loads(content[_HEADER_LENGTH : _HEADER_LENGTH + length]).get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no object")
    return metadata


def _description(metadata: dict[str, Any], kind: str, version: int, path: Path) -> dict[str, Any]:
    written, _, number = metadata.get(_FORMAT, "").rpartition(" ")
    if written != kind:
        raise ValueError(f"its kind is {written or 'missing'}")
    if int(number) > version:
        raise InputError(
            f"{kind} of a newer version",
            where=path,
            found=number,
            expected=f"{version} or older",
            hint="update CoralBay: pip install -U coralbay",
        )
    about = json.loads(metadata[kind])
    if not isinstance(about, dict):
        raise ValueError("its description is no object")
    return about


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
