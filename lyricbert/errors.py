"""Ends a command with a one-line message after a user's mistake or a signal."""

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

CleanUp = Callable[[], str | None]


class UserError(Exception):
    """A bad argument, file, store or model. The message says what is wrong and what to do. No traceback is printed."""


class Interrupted(UserError):
    """An error after which the same command continues from what it has finished, which is therefore kept."""


class FailedElsewhere(UserError):
    """An error of another process of the run. That process prints its own message."""


def run_command(main: Callable[[], None]) -> None:
    """Call `main`. After a `UserError`, SIGINT or SIGTERM, print one line on standard error and exit.

    The exit status is 2 after a `UserError`, 130 after SIGINT and 143 after SIGTERM. If the reader of standard output,
    such as `head`, has ended, it is 141 without a message, as after SIGPIPE.
    """
    _handle_signals()
    _escape_unprintable_characters()
    try:
        main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python fails again when it flushes what is left
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # so that torchrun can end this process while it waits
        _report_in_turn(error)
        sys.exit(2)


def _escape_unprintable_characters() -> None:
    """Print \\u escapes for characters that the terminal's encoding does not have, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _report_in_turn(error: UserError) -> None:
    """Print `error`, unless another process prints it.

    torchrun ends all processes of a node as soon as one ends. So the processes end in turns. The first process of the
    node is first, because most errors occur in all processes. Other processes with an error of their own follow. The
    last ones are those that only report an error of another process.
    """
    is_elsewhere = isinstance(error, FailedElsewhere)
    time.sleep(_SECONDS_A_TURN * (2 if is_elsewhere else not _is_first_of_node()))
    if not is_elsewhere:
        print(f"error: {error}", file=sys.stderr, flush=True)


# Processes that start together can be several seconds apart.
_SECONDS_A_TURN = 10.0


def _handle_signals() -> None:
    for number in _SIGNALS:
        # A rank that waits for a failed rank is in C code, where no Python handler runs. There the default action of
        # torchrun's SIGTERM must end it.
        if number == signal.SIGTERM and "LOCAL_RANK" in os.environ:
            continue
        if signal.getsignal(number) != signal.SIG_IGN:  # a script's background commands ignore SIGINT
            signal.signal(number, _StopCommand())


@contextmanager
def clean_up_at_signal(clean_up: CleanUp) -> Iterator[None]:
    """Call `clean_up` if a signal ends the command in this block. Does nothing outside `run_command`.

    `clean_up` may return what the user should do next, as a sentence.
    """
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

    It does not raise an exception. torch aborts the process if an exception interrupts its import, and some libraries
    catch every exception. It ignores a second signal, so that the clean-up can finish.
    """

    def __init__(self, clean_ups: tuple[CleanUp, ...] = ()):
        self._clean_ups = clean_ups

    def after(self, clean_up: CleanUp) -> "_StopCommand":
        """A copy of this handler that calls `clean_up` first."""
        return _StopCommand((clean_up, *self._clean_ups))

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        advice = "Run the same command again."
        try:
            for clean_up in self._clean_ups:
                advice = clean_up() or advice
            if _is_first_of_node():
                # print() fails if the signal interrupts another print().
                start = "\n" if os.isatty(2) else ""  # the cursor may be after a progress bar or ^C
                os.write(2, f"{start}Stopped by {signal.Signals(number).name}. {advice}\n".encode())
        finally:
            os._exit(128 + number)


def _is_first_of_node() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
