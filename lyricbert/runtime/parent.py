"""End a process when its parent ends."""

import ctypes
import os
import signal

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Make Linux kill this process when its parent, torchrun, ends; see prctl(2).

    torchrun starts each process in a new session, so killing torchrun and its process group does not end them. They
    would continue to train in the directory that the next run uses. Has no effect without torchrun or without prctl.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
