"""End a process when its parent ends."""

import ctypes
import signal

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Make Linux kill this process when its parent ends; see prctl(2). Has no effect without prctl.

    Otherwise the processes of a killed command would continue to work in the directory that the next run uses.
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
