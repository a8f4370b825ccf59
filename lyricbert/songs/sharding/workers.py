"""Call a function on many items in worker processes, in bounded memory."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from lyricbert.errors import Interrupted, clean_up_at_signal
from lyricbert.runtime.parent import die_with_parent

T = TypeVar("T")
R = TypeVar("R")


def map_in_workers(function: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """Yield `function(item)` for each item, as soon as it is finished, so in any order.

    `function` runs in at most `workers` processes, or in this process if one is enough. Each process has one item at a
    time, and this process reads one item ahead. `function`, its arguments and its results are sent with pickle. Raises
    what `function` raises, and `Interrupted` if a worker process is killed. Close the generator to end the processes.
    """
    iterator = iter(items)
    first = list(islice(iterator, 2))
    if workers == 1:
        _use_one_thread()
    if workers == 1 or len(first) < 2:
        yield from map(function, chain(first, iterator))
        return
    with _start_pool(function, workers) as pool:
        for item in chain(first, iterator):
            if pool.is_full:
                yield pool.receive()
            pool.send(item)
        while pool.is_busy:
            yield pool.receive()


def call_in_worker(function: Callable[[T], R], item: T) -> R:
    """Call `function` in a process that then ends, and so returns its memory. See `map_in_workers`."""
    with _start_pool(function, 1) as pool:
        pool.send(item)
        result: R = pool.receive()
        return result


class _Pool:
    """Worker processes, started when they are first needed. Each is known by its connection."""

    def __init__(self, function: Callable[[Any], Any], size: int):
        self._function, self._size = function, size
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        self._idle: list[Connection] = []

    @property
    def is_full(self) -> bool:
        return not self._idle and len(self._processes) == self._size

    @property
    def is_busy(self) -> bool:
        return len(self._idle) < len(self._processes)

    def send(self, item: Any) -> None:
        """Give the item to an idle worker."""
        connection = self._idle.pop() if self._idle else self._start()
        with self._ended_as_interrupted(connection):
            connection.send(item)

    def receive(self) -> Any:
        """Wait for the next result. Raises what the function raised."""
        connection: Any = wait(self._processes.keys() - set(self._idle))[0]
        with self._ended_as_interrupted(connection):
            result, error = connection.recv()
        if error is not None:
            raise error
        self._idle.append(connection)
        return result

    def kill(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()

    def _start(self) -> Connection:
        # Without semaphores and queues, nothing is left that has to be cleaned up after a kill.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._function, theirs), daemon=True)
        with _signals_blocked():
            process.start()
            self._processes[ours] = process
        theirs.close()
        return ours

    @contextmanager
    def _ended_as_interrupted(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            process = self._processes[connection]
            process.join()
            status = process.exitcode or 0
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            raise Interrupted(
                f"a worker process {how}, perhaps because memory ran out; run the same command with fewer --workers"
            ) from None


@contextmanager
def _start_pool(function: Callable[[Any], Any], size: int) -> Iterator[_Pool]:
    """A pool whose processes are killed at the end of the block, or after a signal."""
    pool = _Pool(function, size)
    with clean_up_at_signal(pool.kill):
        try:
            yield pool
        finally:
            pool.kill()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM, also in processes that are started in this block.

    Ctrl-C and SLURM signal all processes of a command. The parent reacts, and kills its workers.
    """
    resource_tracker.ensure_running()  # its start would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    """Answer each item with (result, error), until the parent closes the connection."""
    die_with_parent()
    _use_one_thread()
    with suppress(EOFError, OSError):  # the parent has ended
        while True:
            item = connection.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = (function(item), None)
            except Exception as error:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
                answer = (None, error)
            connection.send(answer)


def _use_one_thread() -> None:
    """Keep the tokenizers library from starting a thread for each CPU."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
