"""Manifest of a library, ``library.json``: its model and its scans."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingFileError
from ..util.atomic_file import write_atomically
from .scan_names import neutral, neutral_name, recall, remember

VERSION = 1
NAME = "library.json"
MAX_BYTES = 100_000_000


@dataclass(frozen=True)
class LibraryEntry:
    """Entry of a scan in a library.

    Parameters
    ----------
    scan : str
        Hash of voxels and affine: its identity.
    name : str
        For people, as unique as they keep it; neutral where this machine has no other (see `scan_names`).
    path : str
        Path of the file when it was added; empty if unknown on this machine.
    key : str
        Key of its features in the cache.
    tokens : int
    series : str, optional
        `Volume.series`; in libraries of earlier versions the UID.
    added : str
        Date.
    """

    scan: str
    name: str
    path: str
    key: str
    tokens: int
    series: str | None = None
    added: str = ""


@dataclass(frozen=True)
class Manifest:
    """Scans of a library and the encoder of their features.

    Parameters
    ----------
    model, fingerprint : str
    strides : tuple of int
    channels : dict of int to int
        Channels of each stride.
    vectors : str
        Location of the vectors: empty for the library's own folder, else a URI of LanceDB, such as ``s3://...``.
    scans : tuple of LibraryEntry
    identifier : str
        Random, links the library with the names and paths on this machine.
    names : bool
        Whether names and paths are stored in the library itself, and leave this machine with it.
    """

    model: str
    fingerprint: str
    strides: tuple[int, ...]
    channels: dict[int, int]
    vectors: str = ""
    scans: tuple[LibraryEntry, ...] = field(default=())
    identifier: str = ""
    names: bool = True

    def find(self, wanted: str) -> LibraryEntry:
        """Find a scan by its name, the beginning of its hash, or its path."""
        found = [
            entry
            for entry in self.scans
            if (wanted and wanted in (entry.name, entry.path, neutral_name(entry.scan)))
            or (len(wanted) >= 6 and entry.scan.startswith(wanted))
        ]
        if len(found) != 1:
            raise InputError(
                "no such scan in the library" if not found else "several scans match",
                where=wanted,
                found=", ".join(f"{e.name} ({e.scan[:8]})" for e in found) or None,
                expected="a unique name, path or hash from `coralbay library list`",
            )
        return found[0]

    def with_entry(self, entry: LibraryEntry) -> "Manifest":
        """Copy with one more scan, which replaces a scan with the same hash."""
        return replace(self, scans=(*(e for e in self.scans if e.scan != entry.scan), entry))

    def without(self, entry: LibraryEntry) -> "Manifest":
        """Copy without a scan."""
        return replace(self, scans=tuple(e for e in self.scans if e.scan != entry.scan))


def read(folder: Path) -> Manifest:
    """Read the manifest of a library.

    Raises
    ------
    MissingFileError, InputError
    """
    path = folder / NAME
    if not path.is_file():
        raise MissingFileError(
            "no library in this folder", where=folder, hint="create one with `coralbay library add DIR CT...`"
        )
    if path.stat().st_size > MAX_BYTES:
        raise InputError("damaged library", where=path, found=f"{path.stat().st_size} bytes")
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["version"] > VERSION:
            raise InputError("library was written by a newer version of CoralBay", where=path, hint="update CoralBay")
        return _parsed(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("damaged library", where=path, found=f"{type(error).__name__}: {error}"[:120]) from error


def _parsed(content: Mapping[str, Any]) -> Manifest:
    scans = tuple(LibraryEntry(**entry) for entry in content["scans"])
    for entry in scans:
        texts = (entry.scan, entry.name, entry.path, entry.key, entry.series or "", entry.added)
        if not all(isinstance(text, str) for text in texts) or not isinstance(entry.tokens, int):
            raise TypeError("values of other types")
        # They become folder names and filters.
        if not (entry.scan.isalnum() and entry.key.isalnum()):
            raise ValueError("not a hash")
    identifier, names = str(content.get("identifier", "")), bool(content.get("names", True))
    if not names:
        if not (identifier.isascii() and identifier.isalnum()):
            raise ValueError("not an identifier")  # it becomes a file name
        scans = recall(identifier, scans)
    return Manifest(
        str(content["model"]),
        str(content["fingerprint"]),
        tuple(int(s) for s in content["strides"]),
        {int(s): int(c) for s, c in content["channels"].items()},
        str(content.get("vectors", "")),
        scans,
        identifier,
        names,
    )


def write(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest of a library atomically; names and paths go with it only where the user chose so."""
    if not manifest.names:
        remember(manifest.identifier, manifest.scans)
        manifest = replace(manifest, scans=tuple(neutral(entry) for entry in manifest.scans))
    return write_atomically(folder / NAME, json.dumps({"version": VERSION} | asdict(manifest), indent=1) + "\n")
