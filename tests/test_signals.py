"""SIGTERM, SIGINT and SIGUSR2 to one rank or to all ranks, during an evaluation, and twice."""

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import children, finish, start, torchrun, wait_for

from benchmarks.chaos import last_step
from lyricbert.training.checkpoint import checkpoints, step_of, verify

SMALL = ("--tokens-per-batch", 128, "--log-every", 1, "--max-steps", 100_000, "--eval-every", 40)


def arguments(store_dir: Path, model_dir: Path, out: Path) -> list[object]:
    return ["--data", store_dir, "--model", model_dir, "--out", out, *SMALL]


def stopped_at(run: Path) -> int:
    (newest, *_) = checkpoints(run / "checkpoints")
    assert verify(newest) is None
    assert not (run / "model").exists()
    return step_of(newest)


@pytest.mark.parametrize(
    ("number", "ranks"),
    [(signal.SIGTERM, [1]), (signal.SIGUSR2, [0]), (signal.SIGINT, [0, 1])],
)
def test_all_ranks_stop_after_a_signal_to_any_of_them(tmp_path, store_dir, model_dir, number, ranks):
    run = tmp_path / "run"
    process = torchrun(2, "train_mlm.py", *arguments(store_dir, model_dir, run))
    wait_for(lambda: last_step(run) >= 20, process)
    for rank in ranks:
        os.kill(children(process.pid)[rank], number)
    errors = finish(process)  # torchrun ends with status 0 when all its processes do
    assert errors.count("Checkpoint saved. Run the same command to resume.") == 1
    assert stopped_at(run) >= 20


@pytest.mark.parametrize(("step", "stop"), [(0, 1), (40, 41)])
def test_a_signal_during_an_evaluation_stops_the_run_after_the_next_step(tmp_path, store_dir, model_dir, step, stop):
    run = tmp_path / "run"
    errors = finish(torchrun(2, "tests/faulty.py", "signal", 1, step, step, *arguments(store_dir, model_dir, run)))
    assert f"Stopped by a signal to another process at step {stop}." in errors
    assert stopped_at(run) == stop


def test_a_second_interrupt_ends_at_once(tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    process = start("tests/faulty.py", "slow", 0, 5, 5, *arguments(store_dir, model_dir, run))
    wait_for(lambda: last_step(run) == 4, process)
    process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    assert process.poll() is None
    while process.poll() is None:  # on a busy machine the first may arrive late, and both count as one
        process.send_signal(signal.SIGINT)
        time.sleep(1.5)
    assert process.returncode == 130
    assert checkpoints(run / "checkpoints") == []
