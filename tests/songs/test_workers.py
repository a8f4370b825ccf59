"""Worker processes: results, errors, kills, and what they import."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, children
from forked import PATIENCE

from lyricbert.errors import Interrupted, UserError
from lyricbert.songs.sharding import workers
from lyricbert.songs.sharding.workers import call_in_worker, map_in_workers


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def fail_at_3(number: int) -> int:
    if number == 3:
        raise UserError("three: cannot be used; give four")
    return number


def die_at_3(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("error", [EOFError, OSError, ConnectionResetError])
def test_a_worker_ends_quietly_when_its_parent_is_killed(monkeypatch, error):
    class Connection:
        def recv(self):
            raise error

    monkeypatch.setattr(workers, "die_with_parent", lambda: None)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    workers._serve(square, Connection())


def workers_left() -> list[int]:
    """Processes that this one has started, without multiprocessing's resource tracker and the test's fork server."""
    return [pid for pid in children(os.getpid()) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_item_has_one_result(workers):
    results = list(map_in_workers(square, iter(range(20)), workers))
    assert sorted(result for result, _ in results) == [number**2 for number in range(20)]
    processes = {process for _, process in results}
    assert len(processes) <= workers
    assert (os.getpid() in processes) == (workers == 1)
    assert workers_left() == []


def test_no_process_is_started_for_one_item():
    assert list(map_in_workers(square, [3], 2)) == [(9, os.getpid())]
    assert list(map_in_workers(square, [], 2)) == []


def test_items_are_read_only_when_a_process_is_free():
    """At most one item for each process and one ahead, so that memory does not grow with the number of items."""
    read = []

    def items():
        for number in range(50):
            read.append(number)
            yield number

    for finished, _ in enumerate(map_in_workers(square, items(), 2), start=1):
        assert len(read) <= finished + 3


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_as_it_is(workers):
    with pytest.raises(UserError) as caught:
        list(map_in_workers(fail_at_3, range(20), workers))
    assert str(caught.value) == "three: cannot be used; give four"
    assert workers_left() == []


def test_a_killed_worker_is_named_and_the_others_end():
    with pytest.raises(Interrupted, match=r"was killed by SIGKILL, perhaps because memory ran out; .* --workers"):
        list(map_in_workers(die_at_3, range(20), 2))
    assert workers_left() == []


def test_a_single_call():
    result, process = call_in_worker(square, 5)
    assert result == 25
    assert process != os.getpid()
    assert workers_left() == []


def test_workers_import_neither_torch_nor_transformers():
    """They would take seconds to start and hundreds of megabytes each. The same holds for the process that reads."""
    code = "import sys, lyricbert.songs.preparation; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "set()\n", done.stderr
