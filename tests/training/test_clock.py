"""Time limits and intervals, with a fake clock that advances one second per call."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest

from lyricbert.models.loading import load_masked_lm
from lyricbert.songs.store import open_store
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.checkpoint import checkpoints, step_of
from lyricbert.training.hooks.stop import StopHook
from lyricbert.training.metrics import read_metrics
from lyricbert.training.run import train_run
from train_mlm import Config


@pytest.fixture
def train(tmp_path, store_dir, model_dir, world):
    """Train with these settings and the fake clock. Returns the run's directory."""

    def run(**settings: object) -> Path:
        common = {"data": store_dir, "model": str(model_dir), "out": tmp_path / "run", "log_every": 1}
        config = Config(**common, tokens_per_batch=128, precision="fp32", **settings)
        task = MaskedLMTask(load_masked_lm(config.model)[0], config, config.model, open_store(store_dir), world)
        train_run(task, config, world, open_store(store_dir), clock=itertools.count(0.0).__next__)
        return config.out

    return run


def seconds_of(checkpoint: Path) -> float:
    return json.loads((checkpoint / "state.json").read_text())["progress"]["seconds"]


def test_max_minutes_ends_the_run_in_time(train):
    run = train(max_minutes=2, checkpoint_every=1)
    last, before, *_ = checkpoints(run / "checkpoints")
    assert seconds_of(before) < 120 <= seconds_of(last)
    rates = [record["train/lr"] for record in read_metrics(run / "metrics.jsonl") if "train/lr" in record]
    assert len(rates) == step_of(last) > 10
    assert rates[-1] < 0.1 * max(rates)
    assert (run / "model").is_dir()


def test_checkpoint_minutes(train):
    run = train(max_steps=40, checkpoint_minutes=0.5, keep_last=99)
    times = [seconds_of(checkpoint) for checkpoint in reversed(checkpoints(run / "checkpoints"))]
    between = [later - earlier for earlier, later in itertools.pairwise([0.0, *times[:-1]])]
    assert len(between) >= 4
    assert all(30 < seconds <= 40 for seconds in between)


def test_interrupts_within_a_second_count_as_one(monkeypatch):
    """Ctrl-C in a terminal reaches the ranks twice: directly and through torchrun."""
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    times = iter([10.0, 10.9, 12.0])
    hook = StopHook(lambda: next(times))
    hook.start(None)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert ended == []
        os.kill(os.getpid(), signal.SIGINT)
        assert ended == [130]
    finally:
        hook.finish(None)
