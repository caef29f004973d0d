"""Atomic writing of files: under a temporary name first, then moved into place."""

import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError


@contextmanager
def atomic_path(path: str | Path, suffix: str = ".part") -> Iterator[Path]:
    """Open a temporary name beside `path`; at the end the file there takes the place of `path`.

    If the block raises, the temporary file is removed and `path` is left as it was. Missing folders are made. The mode
    follows the umask, also if a library creates its files for the user alone.

    Parameters
    ----------
    path : str or Path
    suffix : str
        Of the temporary name, for libraries that infer the format from it. Otherwise it should not look like a finished
        file: a process that is killed leaves it behind.

    Yields
    ------
    Path
        Path of an empty file.

    Raises
    ------
    InputError
        If the system refuses: no space, no permission, a folder in the way.
    """
    path = Path(path)
    temporary = path.with_name(f".coralbay-{uuid.uuid4().hex}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise InputError("cannot write", where=path, found=error.strerror or error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8) or bytes; errors are those of `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)
