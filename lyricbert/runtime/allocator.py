"""What the C library does with freed memory."""

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let this process keep what it frees for what it allocates next.

    By default glibc maps large tensors from the system anew each time and gives them back when they are freed, so that
    every step pays for clearing their pages again; see mallopt(3). Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
