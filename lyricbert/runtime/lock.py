"""A lock that allows one run at a time in a directory."""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lyricbert.errors import UserError
from lyricbert.files import write_errors_as_user_error

LOCK = ".lock"
_REMEDY = "free some space or give another --out"
# Seconds to wait for the lock. A run that was just killed may take a moment to end. A run on a node that died keeps its
# lock until the file server notices. NFS takes a minute and a half for that.
_WAIT_SECONDS = 3.0
_WAIT_FOR_NODES_SECONDS = 120.0
_PAUSE = 0.1


@contextmanager
def lock_run_directory(directory: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Create `directory` if needed, and hold its lock for the duration of the block.

    The operating system releases the lock when the process ends, even if it is killed. `sleep` is called with the
    seconds to wait between two attempts. Raises `UserError` if another process has the lock, or if the directory is not
    writable. After a write error, no directory that was created is left.
    """
    new = [path for path in (directory, *directory.parents) if not os.path.lexists(path)]
    with _write_errors(directory, new):
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("a+", encoding="utf-8")
    with file:
        try:
            _acquire(file, directory, sleep)
        except BlockingIOError:
            owner = _owner(file)
            raise UserError(f"{directory}: in use by another run ({owner}); wait or give another --out") from None
        except OSError as error:
            _say(f"warning: {directory}: cannot be locked ({error.strerror}); start only one run in it")
        with _write_errors(directory, new):
            # Without the buffer of `file`, which would be written again when the file is closed.
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield


@contextmanager
def _write_errors(directory: Path, new: list[Path]) -> Iterator[None]:
    """Re-raise a write error as a `UserError`, and remove the `new` ones of `directory` and its parents."""
    with write_errors_as_user_error(directory, _REMEDY):
        try:
            yield
        except OSError:
            for path in new:
                with suppress(OSError):  # another process may have written into it
                    (path / LOCK).unlink(missing_ok=True)
                    path.rmdir()
            raise


def _acquire(file: TextIO, directory: Path, sleep: Callable[[float], None]) -> None:
    longest_wait, waited = None, 0.0
    while True:
        try:
            return fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if longest_wait is None:
                longest_wait = _lock_wait_seconds(_owner(file), directory)
            if waited >= longest_wait:
                raise
        sleep(_PAUSE)
        waited += _PAUSE


def _lock_wait_seconds(owner: str, directory: Path) -> float:
    if not owner or owner.endswith(f" on {socket.gethostname()}"):
        return _WAIT_SECONDS
    _say(f"{directory}: locked by {owner}; waiting for the lock")
    return _WAIT_FOR_NODES_SECONDS


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _owner(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip()
