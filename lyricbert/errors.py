"""Mistakes a user can make, told in one line."""

import os
import signal
import sys
import time
from collections.abc import Callable


class UserError(Exception):
    """A bad argument, file, store or model. Its text says what is wrong and what to do; no traceback is shown."""


class FailedElsewhere(UserError):
    """What another process of the run could not do, which says so itself."""


def run_command(main: Callable[[], None]) -> None:
    """Call `main`; turn a `UserError` into one line on standard error and exit status 2.

    torchrun ends all processes of a node when one ends, so they end in turns: first the first, as most mistakes are
    made by all and need to be told once; then one that made a mistake of its own; then those that made none.
    """
    try:
        main()
    except UserError as error:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun's, which training only takes note of
        is_elsewhere = isinstance(error, FailedElsewhere)
        time.sleep(_SECONDS_A_TURN * (2 if is_elsewhere else os.environ.get("LOCAL_RANK", "0") != "0"))
        if not is_elsewhere:
            print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


# Processes that start together may be some seconds apart.
_SECONDS_A_TURN = 10.0
