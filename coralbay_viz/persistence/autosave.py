"""Autosave: a copy of the changing state in its own folder, for recovery after a crash.

A lock shows whether the writing process is alive: the system releases it when the process ends.
"""

import shutil
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from coralbay_core.errors import InputError
from coralbay_core.util.leftovers import is_stale
from coralbay_core.util.state import state_root

from . import session_file
from .session_file import State

_FILE, _LOCK = f"autosave{session_file.SUFFIX}", "alive.lock"


def root() -> Path:
    """Return the folder of the autosaves of this user."""
    return state_root() / "autosave"


class Autosave:
    """Writer of states, the newest last, until it is closed.

    Raises
    ------
    InputError
        If the state folder cannot be written.
    """

    def __init__(self) -> None:
        self.folder = root() / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._alive = FileLock(self.folder / _LOCK)
        try:
            self.folder.mkdir(parents=True)
            self._alive.acquire(timeout=0)
            _sweep()
        except OSError as error:
            raise InputError(
                "the state cannot be saved automatically", where=root(), found=error.strerror or error,
                hint="set CORALBAY_STATE to a writable folder and start again",
            ) from error  # fmt: skip
        self._writing = threading.Lock()
        self._written = 0
        self._closed = False

    @property
    def path(self) -> Path:
        """Session file of this autosave."""
        return self.folder / _FILE

    def write(self, state: State, generation: int) -> None:
        """Write a state, unless a newer one exists."""
        with self._writing:
            if generation > self._written and not self._closed:
                session_file.write(self.path, state)
                self._written = generation

    def close(self) -> None:
        """End regularly: remove the autosave."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            self._alive.release()
            shutil.rmtree(self.folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of sessions that were killed over an hour ago, before their first state was written."""
    for lock in root().glob(f"*/{_LOCK}"):
        with suppress(Timeout, OSError):  # alive, or removed by another process meanwhile
            # Any file that old will do: something may have touched the lock since.
            if not (lock.parent / _FILE).exists() and any(map(is_stale, lock.parent.iterdir())):
                with FileLock(lock).acquire(timeout=0):
                    shutil.rmtree(lock.parent, ignore_errors=True)


@dataclass(frozen=True)
class RecoverableSession:
    """Autosave whose process has ended.

    Parameters
    ----------
    path : Path
        Of the session file.
    saved : datetime
    scans : tuple of str
        Displayed names.
    """

    path: Path
    saved: datetime
    scans: tuple[str, ...]

    def forget(self) -> None:
        """Delete the autosave."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def lost_sessions() -> list[RecoverableSession]:
    """Return autosaves that a crash left behind, the newest first; empty and unreadable ones are skipped."""
    found = []
    for path in root().glob(f"*/{_FILE}"):
        lock = FileLock(path.parent / _LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue  # its session lives
        try:
            scans = tuple(scan.name for scan in session_file.read(path).scans)
            if scans:
                found.append(RecoverableSession(path, datetime.fromtimestamp(path.stat().st_mtime, UTC), scans))
        except (ValueError, OSError):
            continue
        finally:
            lock.release()
    return sorted(found, key=lambda lost: lost.saved, reverse=True)
