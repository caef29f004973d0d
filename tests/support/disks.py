"""Disks that fill up."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def full_disk(limit):
    """Let no file grow beyond a number of bytes: writing fails half-way, as on a disk that fills up."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))  # Python ignores the signal, and gets an error
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SmallDisk:
    """A file system of its own.

    Parameters
    ----------
    root : Path
        Where it is mounted.
    """

    def __init__(self, root: Path):
        self.root = root
        self._ballast = root / "ballast"

    def fill(self, free_bytes: int) -> None:
        """Leave no more than a number of bytes, in whole blocks."""
        self.empty()
        size = shutil.disk_usage(self.root).free - free_bytes
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def empty(self) -> None:
        """Remove what `fill` has put there."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(root: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a file system in memory; the test is skipped where that is not permitted."""
    if not hasattr(os, "posix_fallocate") or shutil.which("mount") is None:
        pytest.skip("no file system can be mounted here")
    root.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(root)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted: {mounted.stderr.strip() or os.strerror(errno.EPERM)}")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
