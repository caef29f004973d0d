"""Session file: scans, clicks, strokes and settings, without results that can be computed again.

It is a safetensors file with a JSON description, so it contains no code and no archives; the whole content is
checked before use. Scans are named by hash, and by a path below the file's own folder or none at all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import InputError
from coralbay_core.util.tensor_file import read_tensors, write_tensors

SUFFIX = ".coralbay"
KIND, VERSION = "session", 1
MAX_BYTES = 500_000_000
MOST_SCANS, MOST_POINTS = 200, 100_000
_HINT = "a session is a file that `Session.save` wrote"

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class ScanState:
    """State of a scan in a session file.

    Parameters
    ----------
    digest : str
        Hash of voxels and affine.
    name, file : str
        Displayed name, and name of the file or folder, used to search for it.
    path : str, optional
        Relative to the session file's folder, with forward slashes.
    series : str, optional
        `Volume.series`; in files of earlier versions the UID, or a part of it.
    parts : dict of str to dict
        By the name of a part of the state: see `snapshot`.
    arrays : dict of str to dict
        Likewise.
    """

    digest: str
    name: str
    file: str
    path: str | None = None
    series: str | None = None
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """Content of a session file.

    Parameters
    ----------
    about : dict
        Of the session as a whole, by the name of a part.
    arrays : dict
        Likewise.
    scans : tuple of ScanState
    """

    about: dict[str, dict[str, Any]]
    arrays: dict[str, Arrays]
    scans: tuple[ScanState, ...]


def require_name(path: Path) -> Path:
    """Return the path if it has the suffix of a session."""
    if path.suffix != SUFFIX:
        raise InputError("not a session name", where=path, expected=f"a name that ends in {SUFFIX}")
    return path


def write(path: Path, state: State) -> Path:
    """Write a session file atomically."""
    tensors = {f"session/{part}/{key}": a for part, arrays in state.arrays.items() for key, a in arrays.items()}
    for number, scan in enumerate(state.scans):
        tensors |= {f"{number}/{part}/{key}": a for part, arrays in scan.arrays.items() for key, a in arrays.items()}
    scans = [{key: getattr(scan, key) for key in _SCAN_KEYS} for scan in state.scans]
    return write_tensors(path, KIND, VERSION, tensors, {"session": state.about, "scans": scans})


_SCAN_KEYS = ("digest", "name", "file", "path", "series", "parts")


def read(path: Path) -> State:
    """Read a session file; raise an error for anything that `write` does not write.

    Raises
    ------
    MissingFileError, InputError
    """
    tensors, about = read_tensors(path, KIND, VERSION, hint=_HINT, max_bytes=MAX_BYTES)
    try:
        scans = [_scan(number, entry, tensors) for number, entry in enumerate(about["scans"])]
        if len(scans) > MOST_SCANS:
            raise ValueError(f"{len(scans)} scans")
        state = State(_parts(about["session"]), _arrays("session", tensors), tuple(scans))
        owners = {"session", *map(str, range(len(scans)))}
        if stray := {name for name in tensors if name.split("/")[0] not in owners or name.count("/") != 2}:
            raise ValueError(f"stray arrays {sorted(stray)[:3]}")
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, error) from error
    return state


def damaged(path: object, error: object) -> InputError:
    """Return the error for a file with the name but not the content of a session."""
    return InputError("damaged session", where=path, found=str(error)[:120] or type(error).__name__, hint=_HINT)


def _scan(number: int, entry: Mapping[str, Any], tensors: Arrays) -> ScanState:
    if set(entry) != set(_SCAN_KEYS) or not re.fullmatch("[0-9a-f]{8,128}", entry["digest"]):
        raise ValueError(f"scan {number}")
    if not all(isinstance(entry[key], str) for key in ("name", "file")):
        raise ValueError(f"scan {number} without a name")
    if entry["series"] is not None and not re.fullmatch(r"[0-9a-f.]{1,64}", str(entry["series"])):
        raise ValueError(f"scan {number}: series")
    for key in ("file", "path"):
        if entry[key] is not None:
            require_relative(entry[key])
    if len(PurePosixPath(entry["file"]).parts) > 1:
        raise ValueError(f"scan {number}: file")
    values = {key: entry[key] for key in _SCAN_KEYS} | {"parts": _parts(entry["parts"])}
    return ScanState(**values, arrays=_arrays(str(number), tensors))


def require_relative(text: Any) -> str:
    """Return the path if it stays below its folder on every system."""
    parts = PurePosixPath(text).parts if isinstance(text, str) else ()
    windows = PureWindowsPath(text) if isinstance(text, str) else None
    if (
        windows is None
        or not all(character.isprintable() for character in text)
        or "\\" in text
        or ".." in parts
        or PurePosixPath(text).is_absolute()
        or windows.drive
        or windows.root
    ):
        raise InputError("session names a path outside of its folder", found=str(text)[:100], hint="do not trust it")
    return str(text)


def _parts(content: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(content, dict) or not all(isinstance(part, dict) for part in content.values()):
        raise ValueError("parts of the state must be JSON objects")
    return content


def _arrays(owner: str, tensors: Arrays) -> dict[str, Arrays]:
    found: dict[str, Arrays] = {}
    for name, array in tensors.items():
        holder, _, rest = name.partition("/")
        part, _, key = rest.partition("/")
        if holder == owner:
            found.setdefault(part, {})[key] = array
    return found


def points(values: Any) -> tuple[tuple[float, float, float], ...]:
    """Convert JSON to positions in mm."""
    array = np.array(values, np.float64).reshape(-1, 3) if values else np.zeros((0, 3))
    if len(array) > MOST_POINTS or not np.isfinite(array).all():
        raise ValueError("positions are not finite or too many")
    return tuple((float(r), float(a), float(s)) for r, a, s in array)
