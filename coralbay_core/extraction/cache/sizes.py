"""Sizes of entries, so that the limit of a cache is kept without reading a million files.

Each entry has a note of its size, written when it is complete. The file ``sizes.json`` beside the entries repeats the
notes of all. Both are removed before an entry is changed, so what a killed process leaves is counted again.
"""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from ...errors import StorageError
from ...util.atomic_file import write_atomically

NOTE = "size"
TABLE = "sizes.json"
_LOCK = "sizes.json.lock"
_MOST_DIGITS = 18
_MOST_BYTES = 100_000_000


def count_bytes(folder: Path) -> int:
    """Add up the files of an entry; those that vanish meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def write_note(folder: Path) -> int:
    """Write the note of an entry; returns its size."""
    size = count_bytes(folder)
    write_atomically(folder / NOTE, str(size))
    return size


def read_note(folder: Path) -> int | None:
    """Read the note of an entry; None if there is none, or if the entry was changed after it."""
    note = folder / NOTE
    try:
        size, written = int(note.read_text("ascii")[:_MOST_DIGITS]), note.stat().st_mtime_ns
    except (OSError, ValueError):
        return None
    # The folder of the entry itself is dated when it is used.
    below = (Path(place) for place, _, _ in os.walk(folder) if Path(place) != folder)
    with suppress(OSError):
        return size if size >= 0 and all(place.stat().st_mtime_ns <= written for place in below) else None
    return None


class SizeTable:
    """Sizes of all entries of a cache, by key.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path):
        self._path, self._lock = root / TABLE, FileLock(root / _LOCK)

    def drop(self, key: str) -> None:
        """Remove an entry."""
        if self._path.exists():
            with suppress(OSError), self._lock:
                sizes = self._read()
                if sizes.pop(key, None) is not None:
                    self._write(sizes)

    def of(self, keys: Iterable[str], count: Callable[[str], tuple[int, bool]]) -> dict[str, int]:
        """Return the sizes of the entries that exist now; the table is brought up to date.

        Parameters
        ----------
        keys : iterable of str
        count : callable
            Size of an entry that the table lacks, and whether it is final.
        """
        with suppress(OSError), self._lock:
            known = self._read()
            sizes, final = {}, {}
            for key in keys:
                size, is_final = (known[key], True) if key in known else count(key)
                sizes[key] = size
                if is_final:
                    final[key] = size
            if final != known:
                self._write(final)
            return sizes
        return {key: count(key)[0] for key in keys}  # of a cache that is read-only

    def _read(self) -> dict[str, int]:
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                return {}
            found = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return {k: n for k, n in found.items() if type(n) is int and n >= 0} if isinstance(found, dict) else {}

    def _write(self, sizes: dict[str, int]) -> None:
        with suppress(StorageError):
            write_atomically(self._path, json.dumps(sizes))
