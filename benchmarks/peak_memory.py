"""Watch the memory of this process while a block of code runs."""

import threading
from collections.abc import Callable
from pathlib import Path


def anonymous_bytes() -> int:
    """The anonymous resident memory of this process. Pages of mapped files do not count."""
    return 1024 * int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])


def pss_bytes() -> int:
    """The proportional set size of this process."""
    return 1024 * int(Path("/proc/self/smaps_rollup").read_text().split("Pss:")[1].split()[0])


class PeakMemory:
    """`peak`: the largest memory in the block, in bytes. `grown`: the same, minus that at the start of the block.

    `read`: returns the memory at the moment. It is called every `seconds`.
    """

    def __init__(self, read: Callable[[], int], seconds: float):
        self._read, self._seconds = read, seconds

    def __enter__(self) -> "PeakMemory":
        self._before = self.peak = self._read()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        return self.peak - self._before

    def _watch(self) -> None:
        while not self._over.wait(self._seconds):
            self.peak = max(self.peak, self._read())
