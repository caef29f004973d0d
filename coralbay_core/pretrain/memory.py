"""Settings of glibc's allocator: by default it returns each large activation to the kernel and faults it in again."""

import ctypes
import sys

# From malloc.h. Without memory maps and trimming, freed activations stay with the process and are used again.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Let this process reuse freed memory, for training on a CPU; return whether the allocator supports it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
