"""One run at a time in a directory."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lyricbert.errors import UserError

LOCK = ".lock"
# A run that was just killed may take a moment to be gone.
_PATIENCE = 3.0


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Make `directory`, if it is not there, and be the only one in it for the block.

    The lock is the system's on an open file, so it ends with the process, however that ends. Raises `UserError` if
    another process has it, or if the directory cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{directory}: cannot be written to ({error.strerror}); give another --out") from None
    with file:
        if not _acquire(file.fileno()):
            file.seek(0)
            raise UserError(f"{directory}: in use by another run ({file.read().strip()}); wait or give another --out")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _acquire(descriptor: int) -> bool:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        else:
            return True
