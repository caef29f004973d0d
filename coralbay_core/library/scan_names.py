"""Names and paths of the scans of a library, which stay on this machine: both often contain the name of a patient.

A library is made to be copied and shared, so its manifest has neutral names and no paths, unless its user decides
otherwise. The file here is private to the user and belongs to the library by a random identifier.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..util.atomic_file import write_atomically
from ..util.state import state_root

if TYPE_CHECKING:
    from .manifest import LibraryEntry

_PRIVATE = 0o600


def neutral_name(scan: str) -> str:
    """Name of a scan in files that may leave this machine, from its hash."""
    return f"scan-{scan[:8]}"


def neutral(entry: "LibraryEntry") -> "LibraryEntry":
    """Copy of an entry without name and path."""
    return replace(entry, name=neutral_name(entry.scan), path="")


def remember(library: str, entries: Iterable["LibraryEntry"]) -> Path:
    """Store names and paths of the scans of a library; copies of a library share them, so none are dropped."""
    own = {entry.scan: {"name": entry.name, "path": entry.path} for entry in entries if entry.path}
    try:
        path = write_atomically(_file(library), json.dumps(_known(library) | own, indent=0) + "\n")
    except InputError as error:
        raise InputError(
            "names of the scans could not be stored",
            where=_file(library),
            found=error.__cause__ or error,
            hint="set CORALBAY_STATE to a folder that can be written, or use --names",
        ) from error
    path.chmod(_PRIVATE)
    return path


def recall(library: str, entries: Iterable["LibraryEntry"]) -> "tuple[LibraryEntry, ...]":
    """Fill in names and paths, as far as this machine has them."""
    known = _known(library)
    return tuple(_filled(entry, known.get(entry.scan)) for entry in entries)


def _known(library: str) -> dict[str, object]:
    try:
        content = json.loads(_file(library).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _filled(entry: "LibraryEntry", own: object) -> "LibraryEntry":
    if not isinstance(own, dict) or not all(isinstance(own.get(key), str) for key in ("name", "path")):
        return entry
    return replace(entry, name=own["name"], path=own["path"])


def _file(library: str) -> Path:
    return state_root() / "libraries" / f"{library}.json"
