"""Small files of arrays with a description: safetensors whose header holds one JSON object.

Nothing in such a file is executed. What is read is checked for its kind, its version and its names before it is used;
safetensors itself refuses offsets and sizes that do not fit the file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, MissingFileError

LARGEST_BYTES = 2_000_000_000


def save_arrays(
    path: str | Path, kind: str, version: int, arrays: Mapping[str, NDArray], about: dict[str, Any]
) -> Path:
    """Write arrays and what is to be known of them, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in ``.safetensors``.
    kind : str
        What the file is, e.g. ``probe``.
    version : int
        Of its layout.
    arrays : mapping of str to array
    about : dict
        Whatever JSON can hold.
    """
    from safetensors.numpy import save_file

    path = Path(path)
    require_name(path, kind)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {kind: json.dumps({"version": version} | about)}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, header)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{kind} could not be written", where=path, found=error.strerror or error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_arrays(
    path: str | Path, kind: str, version: int, *, hint: str = ""
) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Arrays and description of a file that `save_arrays` wrote.

    Parameters
    ----------
    path : path
    kind : str
    version : int
        The newest layout that the caller knows.
    hint : str
        How such a file is made.

    Raises
    ------
    MissingFileError, InputError
        For what is absent, no such file, damaged or newer.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no such {kind}", where=path, hint=hint)
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise InputError(f"not a {kind}", where=path, found=f"{size / 1e9:.1f} GB", expected="a small file")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})[kind])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        found = int(about.pop("version", 0))
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"not a {kind}", where=path, found=_short(error), hint=hint) from error
    if not 1 <= found <= version:
        raise InputError(
            f"{kind} of another version", where=path, found=found, expected=f"1 to {version}", hint="update CoralBay"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
            raise InputError(f"damaged {kind}", where=path, found=f"{name} is {array.dtype}, or not finite")
    return arrays, about


def require_name(path: Path, kind: str) -> None:
    """Raise unless a file to write is called what it will be."""
    if path.suffix != ".safetensors":
        raise InputError(f"not a {kind} name", where=path, expected="a name that ends in .safetensors")


def damaged(kind: str, path: str | Path, error: object) -> InputError:
    """The error for a file whose arrays and description do not belong together."""
    return InputError(f"damaged {kind}", where=path, found=_short(error), hint="make it again")


def _short(error: object) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
