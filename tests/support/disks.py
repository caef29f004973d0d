"""Disks that fill up."""

from contextlib import contextmanager

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
