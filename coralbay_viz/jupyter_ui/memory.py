"""Return of freed memory to the system: glibc keeps it, in one arena per thread."""

import ctypes
import sys


def give_back() -> bool:
    """Return freed memory of this process to the system; takes some ms. Return whether it was possible.

    Each job is a thread, and each click allocates and frees maps of some MB. Without this, the memory of a kernel grew
    by 200 MB in 800 clicks.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return False
    return bool(trim(0))
