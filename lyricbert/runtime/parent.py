"""Processes that end with the one that started them."""

import ctypes
import os
import signal

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the system kill this process when torchrun, which started it, is gone; see prctl(2).

    torchrun gives its processes sessions of their own, so that killing it and its group would leave them training, in
    the directory that the next run wants. Does nothing without torchrun, or where there is no such call.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
