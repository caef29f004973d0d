"""The cache of features: entries by key, one lock per entry, and a limit of their total size."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from ...errors import Cancelled, InputError, StorageError
from ...features import FeatureMaps
from ...util.atomic_file import sweep
from ...util.leftovers import is_stale, last_used_s
from .entry import Entry, remove
from .files import UnusableEntryError
from .keys import key_of
from .sizes import NOTE, SizeTable, count_bytes, read_note, write_note

DEFAULT_LIMIT_BYTES = 20_000_000_000
_MOST_GB = 1_000_000
_POLL_S = 0.2
_LEFTOVER = re.compile(r".+\.\d+\.(part|gone)", re.DOTALL)  # of `Entry.create` and `remove`
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def default_root() -> Path:
    """Root folder: the environment variable ``CORALBAY_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("CORALBAY_CACHE") or user_cache_path("coralbay")) / "features"


def default_limit() -> int:
    """Limit in bytes: the environment variable ``CORALBAY_CACHE_GB``, else 20 GB."""
    text = os.environ.get("CORALBAY_CACHE_GB")
    if not text:
        return DEFAULT_LIMIT_BYTES
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 < limit <= _MOST_GB:
        expected = f"a number of GB above 0, at most {_MOST_GB}"
        raise InputError("unusable limit", where="CORALBAY_CACHE_GB", found=text, expected=expected)
    return int(limit * 1e9)


@dataclass(frozen=True)
class EntryInfo:
    """Summary of an entry for display; it does not identify the scan.

    Parameters
    ----------
    key : str
    model : str
        Empty if the entry cannot be read.
    strides : tuple of int
    size_mm : tuple of int
        Of the scan.
    bytes : int
    used : float
        Seconds since the epoch.
    """

    key: str
    model: str
    strides: tuple[int, ...]
    size_mm: tuple[int, ...]
    bytes: int
    used: float


@dataclass(frozen=True)
class Check:
    """Result of a verification of an entry.

    Parameters
    ----------
    key : str
    chunks : int
        Number of chunks that are there.
    damaged : int
        Number of those that were damaged, and are removed now.
    trouble : str
        What else is wrong.
    absent : int
        Number of chunks of the same stages that hold body and are not there: not computed yet, or lost.
    """

    key: str
    chunks: int
    damaged: int
    trouble: str = ""
    absent: int = 0


class FeatureStore:
    """Features on disk.

    Parameters
    ----------
    root : path, optional
        By default `default_root`.
    limit_bytes : int, optional
        Beyond this the entries unused for longest are removed; by default `default_limit`.
    """

    def __init__(self, root: str | Path | None = None, limit_bytes: int | None = None):
        self.root = Path(root) if root is not None else default_root()
        self.limit_bytes = default_limit() if limit_bytes is None else limit_bytes

    def folder(self, key: str) -> Path:
        """Folder of an entry, whether it exists or not."""
        if not key or Path(key).name != key or key.startswith("."):
            raise InputError("unusable name of an entry", found=key, expected="a name without any path")
        return self.root / key

    def open(self, key: str, signature: dict[str, Any]) -> Entry | None:
        """Open the entry of a key; None unless there is one with this signature."""
        folder = self.folder(key)
        if not folder.exists() and not folder.is_symlink():
            return None
        try:
            entry = Entry.open(folder)
            entry.body  # noqa: B018 - read now, so that damage shows here
        except UnusableEntryError:
            return None
        if entry.about.signature != signature:
            return None
        entry.touch()
        return entry

    def complete(self, key: str, strides: Collection[int]) -> FeatureMaps | None:
        """Open all features of a scan by its key, without the scan; None unless every chunk is present and sound."""
        try:
            entry = Entry.open(self.folder(key))
            needed = entry.needed(entry.whole)
            if key_of(entry.about.signature) != key or any(entry.missing(stride, needed) for stride in strides):
                return None
        except (UnusableEntryError, KeyError, PermissionError):
            return None
        entry.touch()
        return entry.maps(strides, entry.whole, needed)

    @contextmanager
    def locked(self, key: str, cancelled: Callable[[], bool] | None = None) -> Iterator[bool]:
        """Hold the lock of an entry; the system frees it when a process dies.

        Yields
        ------
        bool
            Whether the entry may be changed. False in a cache that is read-only: there is no lock then, nor a need.
        """
        lock = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = self._acquired(key, cancelled)
        except OSError as error:
            if error.errno not in _REFUSED or not self.root.is_dir():
                raise unwritable(self.root, error) from error
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _acquired(self, key: str, cancelled: Callable[[], bool] | None) -> FileLock:
        path = self.folder(f"{key}.lock")
        lock = FileLock(path)
        while True:
            try:
                lock.acquire(timeout=_POLL_S)
                if path.exists():
                    return lock
                lock.release()  # the entry was removed meanwhile, its lock included: others would lock a new file
            except Timeout:
                if cancelled and cancelled():
                    raise Cancelled("waiting for features was cancelled", hint="another process makes them") from None

    # The whole

    def entries(self) -> list[Path]:
        """List the folders of entries, those used last first."""
        if not self.root.is_dir():
            return []
        return sorted((self.root / key for key in self._keys()), key=last_used_s, reverse=True)

    def _keys(self) -> list[str]:
        """Names of the folders of entries."""
        with os.scandir(self.root) as found:
            names = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        return [name for name in names if not _LEFTOVER.fullmatch(name)]

    def infos(self) -> list[EntryInfo]:
        """List summaries of all entries, those used last first."""
        return [_info(folder) for folder in self.entries()]

    def prune(self, keep: str = "") -> None:
        """Remove the entries unused for longest until the rest fits the limit.

        Parameters
        ----------
        keep : str
            Key of an entry that stays in any case, as do entries that another process is using.
        """
        self._sweep()
        if self.limit_bytes >= sys.maxsize or not self.root.is_dir():
            return
        sizes = SizeTable(self.root).of(self._keys(), self._counted)
        if sum(sizes.values()) <= self.limit_bytes:
            return
        total = 0
        for folder in self.entries():
            total += sizes.get(folder.name, 0)
            if total > self.limit_bytes and folder.name != keep:
                self._remove(folder)

    def forget_size(self, key: str) -> None:
        """Forget the size of an entry before it is changed, so that it is counted again if the process is killed."""
        with suppress(OSError):
            (self.folder(key) / NOTE).unlink(missing_ok=True)
        SizeTable(self.root).drop(key)

    def note_size(self, key: str) -> None:
        """Write down the size of an entry, unless it is noted, for `prune`: a large cache has a million files."""
        if not (self.folder(key) / NOTE).exists():
            with suppress(StorageError):  # without a note the entry is counted
                write_note(self.folder(key))

    def _counted(self, key: str) -> tuple[int, bool]:
        """Size of an entry, and whether it will stay so: another process may be changing it."""
        folder = self.root / key
        known = read_note(folder)
        if known is not None:
            return known, True
        with suppress(Timeout, StorageError, OSError), FileLock(self.root / f"{key}.lock").acquire(timeout=0):
            return write_note(folder), True
        return count_bytes(folder), False

    def clear(self, model: str | None = None) -> list[EntryInfo]:
        """Remove all entries, or those of a model; returns the removed ones."""
        wanted = [info for info in self.infos() if model is None or info.model == model]
        self._sweep()
        return [info for info in wanted if self._remove(self.root / info.key)]

    def verify(self) -> list[Check]:
        """Check all chunks by their checksums; damaged ones are removed and will be computed again."""
        self._sweep()
        return [self._verify(folder) for folder in self.entries()]

    def _verify(self, folder: Path) -> Check:
        with self.locked(folder.name):
            try:
                entry = Entry.open(folder)
                needed = entry.needed(entry.whole)
            except UnusableEntryError as error:
                remove(folder)
                return Check(folder.name, 0, 0, f"removed: {error}")
            there = [(s, chunk) for s in entry.strides for chunk in needed if entry.has(s, chunk)]
            absent = len(entry.strides) * len(needed) - len(there)
            try:
                damaged = sum(len(entry.missing(s, [chunk])) for s, chunk in there)
                if damaged:
                    self.forget_size(folder.name)
            except OSError as error:
                raise unwritable(folder, error) from error
            return Check(folder.name, len(there), damaged, absent=absent)

    def _remove(self, folder: Path) -> bool:
        """Remove an entry unless another process is using it."""
        lock = FileLock(self.root / f"{folder.name}.lock")
        try:
            with lock.acquire(timeout=0):
                remove(folder)
                with suppress(PermissionError):  # on Windows, where a file in use stays
                    Path(lock.lock_file).unlink(missing_ok=True)
        except Timeout:
            return False
        return True

    def _sweep(self) -> None:
        """Remove leftovers of processes that were killed."""
        if self.root.is_dir():
            for name in os.listdir(self.root):
                if _LEFTOVER.fullmatch(name) and is_stale(self.root / name):
                    shutil.rmtree(self.root / name, ignore_errors=True)
            sweep(self.root)


def unwritable(folder: Path, error: OSError) -> StorageError:
    """Make the error for a cache that cannot be written."""
    return StorageError(
        "features could not be written",
        where=folder,
        found=error.strerror or error,
        hint="set CORALBAY_CACHE to a folder with space",
    )


def _info(folder: Path) -> EntryInfo:
    try:
        entry = Entry.open(folder)
    except UnusableEntryError:
        return EntryInfo(folder.name, "", (), (), count_bytes(folder), last_used_s(folder))
    size = entry.grid.spacing_mm * entry.grid.shape
    size_mm = tuple(round(float(n)) for n in size)
    return EntryInfo(folder.name, entry.about.model, entry.strides, size_mm, count_bytes(folder), last_used_s(folder))
