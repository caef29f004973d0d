"""How glibc hands out memory to many threads: each gets an arena, and each arena keeps what it ever held."""

import ctypes
import sys

_M_ARENA_MAX = -8  # from malloc.h
ARENAS = 2


def share_arenas() -> bool:
    """Let the threads of this process share their memory; whether that could be arranged.

    A job is a thread, and a click makes and frees some maps of MB. Spread over all arenas, a kernel grew by 50 to 200 MB
    in several hundred clicks, though nothing was held.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_ARENA_MAX, ARENAS))
