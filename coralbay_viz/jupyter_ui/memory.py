"""glibc keeps what threads free, each thread in an arena of its own; this gives it back to the system."""

import ctypes
import sys


def give_back() -> bool:
    """Return freed memory of this process to the system; whether that could be arranged. Takes some ms.

    A job is a thread, and a click makes and frees some maps of MB: spread over many arenas, freed memory of a kernel
    grew by 200 MB in 800 clicks.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return False
    return bool(trim(0))
