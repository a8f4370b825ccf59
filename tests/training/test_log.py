"""The curves that `LogHook` writes, with a fake clock."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lyricbert.training.config import HookConfig
from lyricbert.training.hooks.log import LogHook
from lyricbert.training.loop import Progress, StepResult
from lyricbert.training.metrics import MetricsWriter, read_metrics


class OneOfTwoRanks:
    """Rank 0. Rank 1 has run the same batches, but with a number of triplets of its own."""

    size, device = 2, torch.device("cpu")

    def __init__(self, triplets_elsewhere: int):
        self._elsewhere = triplets_elsewhere

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        total = 2 * tensor
        if tensor.ndim:
            total[3] = tensor[3] + self._elsewhere
        return total


def curves(run: Path, triplets: list[int], triplets_elsewhere: int) -> dict[str, float]:
    """The record of steps of 2 s each on rank 0, with so many triplets. Between two steps, 8 s pass."""
    progress = Progress()
    trainer = SimpleNamespace(world=OneOfTwoRanks(triplets_elsewhere), progress=progress, total_steps=len(triplets))
    trainer.sync_skip_counts = lambda: progress
    writer = MetricsWriter(run, resumed_step=-1)
    hook = LogHook(writer, HookConfig(log_every=len(triplets)))
    hook.start(trainer)
    for step, count in enumerate(triplets):
        progress.step = step + 1
        trainer.clock = lambda step=step: 10.0 * step + 2
        result = StepResult(
            loss_sum=torch.tensor(3.0),
            terms=4,
            examples=None,
            skipped_in_row=torch.tensor(0),
            lr=0.1,
            grad_norm=torch.tensor(1.0),
            lines=5,
            real_tokens=60,
            padded_tokens=80,
            triplets=count,
            started=10.0 * step,
            wait_seconds=0.5,
        )
        hook.step(trainer, result)
    hook.finish(trainer)
    writer.close()
    (record,) = read_metrics(run / "metrics.jsonl")
    return record


def test_throughput_counts_the_time_of_steps_and_the_work_of_all_ranks(tmp_path):
    record = curves(tmp_path, triplets=[7, 2], triplets_elsewhere=11)
    assert record["step"] == 2
    assert record["throughput/triplets_per_s"] == pytest.approx(20 / 4)
    assert record["throughput/lines_per_s"] == pytest.approx(20 / 4)
    assert record["throughput/tokens_per_s"] == pytest.approx(240 / 4)
    assert record["data/real_token_fraction"] == pytest.approx(0.75)
    assert record["data/wait_fraction"] == pytest.approx(2 / 8)
    assert record["train/loss"] == pytest.approx(1.5)


def test_a_rank_without_triplets_writes_those_of_the_others(tmp_path):
    assert curves(tmp_path, triplets=[0, 0], triplets_elsewhere=6)["throughput/triplets_per_s"] == pytest.approx(1.5)


def test_a_task_without_triplets_has_no_curve_of_them(tmp_path):
    assert "throughput/triplets_per_s" not in curves(tmp_path, triplets=[0, 0], triplets_elsewhere=0)
