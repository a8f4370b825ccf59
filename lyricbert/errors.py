"""Mistakes a user can make, told in one line."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """A bad argument, file, store or model. Its text says what is wrong and what to do; no traceback is shown."""


def run_command(main: Callable[[], None]) -> None:
    """Call `main`; turn a `UserError` into one line on standard error and exit status 2.

    Under torchrun every process meets the same mistake, so only the first on each node says it.
    """
    try:
        main()
    except UserError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
