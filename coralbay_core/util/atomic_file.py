"""Atomic writing of files: under a temporary name first, then moved into place."""

import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StorageError
from .leftovers import is_stale

_PREFIX = ".coralbay-"
_PART = re.compile(re.escape(_PREFIX) + r"[0-9a-f]{32}(\..*)?")


@contextmanager
def atomic_path(path: str | Path, suffix: str = ".part") -> Iterator[Path]:
    """Open a temporary name beside `path`; at the end the file there takes the place of `path`.

    If the block raises, the temporary file is removed and `path` is left as it was. Missing folders are made. The mode
    follows the umask, also if a library creates its files for the user alone. Temporary files in the same folder that
    killed processes left behind over an hour ago are removed.

    Parameters
    ----------
    path : str or Path
    suffix : str
        Of the temporary name, for libraries that infer the format from it. Otherwise it should not look like a finished
        file: a process that is killed leaves it behind, until something else is written there.

    Yields
    ------
    Path
        Path of an empty file.

    Raises
    ------
    StorageError
        If the system refuses: no space, no permission, a folder in the way.
    """
    path = Path(path)
    temporary = path.with_name(f"{_PREFIX}{uuid.uuid4().hex}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise StorageError("cannot write", where=path, found=error.strerror or error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that processes killed over an hour ago left in a folder."""
    with suppress(OSError):
        for path in folder.glob(f"{_PREFIX}*"):
            if _PART.fullmatch(path.name) and is_stale(path):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8) or bytes; errors are those of `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)
