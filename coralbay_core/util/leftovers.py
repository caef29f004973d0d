"""Age of temporary files that killed processes left behind."""

import os
import time
from contextlib import suppress
from pathlib import Path

STALE_S = 3600.0
_CLOCK_TOLERANCE_S = 60.0  # between machines that share a disk


def is_stale(path: Path) -> bool:
    """Whether nothing has been written to a temporary file for an hour, so that no process is at work on it."""
    return last_used_s(path) < time.time() - STALE_S


def last_used_s(path: Path) -> float:
    """Return the time of the last change in seconds since the epoch; 0 if there is no such file.

    A file dated in the future comes from before the clock was set back. It is dated to now, where that is permitted:
    otherwise it would neither become stale nor be the one unused for longest until the clock has caught up.
    """
    with suppress(FileNotFoundError):
        changed, now = path.lstat().st_mtime, time.time()
        if changed <= now + _CLOCK_TOLERANCE_S:
            return changed
        with suppress(OSError):
            os.utime(path, (now, now), follow_symlinks=False)
        return now
    return 0.0
