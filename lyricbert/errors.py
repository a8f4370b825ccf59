"""How a command ends early: a mistake of the user or a signal, told in one line."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class UserError(Exception):
    """A bad argument, file, store or model. Its text says what is wrong and what to do; no traceback is shown."""


class FailedElsewhere(UserError):
    """What another process of the run could not do, which says so itself."""


def run_command(main: Callable[[], None]) -> None:
    """Call `main`. A `UserError`, SIGINT or SIGTERM ends the process with one line on standard error.

    The exit status is 2 after a `UserError`, 130 after SIGINT and 143 after SIGTERM.
    """
    _handle_signals()
    try:
        main()
    except UserError as error:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun's, which training only takes note of
        _report_in_turn(error)
        sys.exit(2)


def _report_in_turn(error: UserError) -> None:
    """Print `error`, unless another process does.

    torchrun ends all processes of a node when one ends, so they end in turns: first the first, as most mistakes are
    made by all and need to be told once; then one that made a mistake of its own; then those that made none.
    """
    is_elsewhere = isinstance(error, FailedElsewhere)
    time.sleep(_SECONDS_A_TURN * (2 if is_elsewhere else not _is_first_of_node()))
    if not is_elsewhere:
        print(f"error: {error}", file=sys.stderr, flush=True)


# Processes that start together may be some seconds apart.
_SECONDS_A_TURN = 10.0


def _handle_signals() -> None:
    for number in _SIGNALS:
        # Under torchrun, SIGTERM ends a rank that waits for a failed one in C code, where no Python handler would run.
        if number == signal.SIGTERM and "LOCAL_RANK" in os.environ:
            continue
        if signal.getsignal(number) != signal.SIG_IGN:  # as SIGINT is in the background commands of a script
            signal.signal(number, _StopCommand())


@contextmanager
def clean_up_at_signal(clean_up: Callable[[], None]) -> Iterator[None]:
    """Call `clean_up` if a signal ends the command in this block. Does nothing outside `run_command`."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in before.items() if isinstance(handler, _StopCommand)}
    for number, handler in handlers.items():
        signal.signal(number, handler.after(clean_up))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _StopCommand:
    """A signal handler that cleans up and ends the process.

    It raises nothing: torch aborts the process if an exception arrives in the middle of its import, and some libraries
    catch every exception. It ignores a second signal, so that the clean-up is complete.
    """

    def __init__(self, clean_ups: tuple[Callable[[], None], ...] = ()):
        self._clean_ups = clean_ups

    def after(self, clean_up: Callable[[], None]) -> "_StopCommand":
        """The same handler with `clean_up` as its first action."""
        return _StopCommand((clean_up, *self._clean_ups))

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        try:
            for clean_up in self._clean_ups:
                clean_up()
            if _is_first_of_node():
                # Not print(), which fails if the signal came in the middle of another print().
                start = "\n" if os.isatty(2) else ""  # below a progress bar or ^C
                os.write(2, f"{start}Stopped by {signal.Signals(number).name}. Run the same command again.\n".encode())
        finally:
            os._exit(128 + number)


def _is_first_of_node() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
