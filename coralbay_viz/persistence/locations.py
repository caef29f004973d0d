"""Last known locations on this machine: of scans by content hash, of custom weights by name.

A session file names scans by hash and, below its own folder, by a relative path. Other paths are private to this
machine, so they are stored here and never in the file.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from coralbay_core.errors import InputError
from coralbay_core.util.atomic_file import write_atomically
from coralbay_core.util.state import state_root

MOST = 2000


class ScanLocations:
    """Paths by content hash, the newest last.

    Parameters
    ----------
    path : Path, optional
        The file; by default in `state_root`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or state_root() / "scans.json"

    def find(self, digest: str) -> Path | None:
        """Return the path of a scan, or None if it is not known."""
        known = self._read().get(digest)
        return Path(known) if isinstance(known, str) else None

    def remember(self, places: dict[str, Path]) -> None:
        """Store the paths of scans; a file that cannot be written is ignored."""
        known = self._read()
        new = {digest: str(path.resolve()) for digest, path in places.items()}
        if all(known.get(digest) == path for digest, path in new.items()):
            return
        kept = dict([*((d, p) for d, p in known.items() if d not in new), *new.items()][-MOST:])
        with suppress(InputError):
            write_atomically(self._path, json.dumps(kept, indent=0))

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


def candidates(name: str, extra: list[Path]) -> Iterator[Path]:
    """Return candidates for a scan of this file name among files and folders given by the user."""
    for path in extra:
        if path.is_file() or not path.is_dir():
            yield path
            continue
        yield from sorted(p for p in path.rglob(name) if p.exists()) if name else ()
        yield path
