"""The reaction of the other ranks to a NaN loss on one rank, and to a rank that hangs."""

import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import children, finish, torchrun, wait_for
from forked import ForkedCommand

from lyricbert.models.loading import load_masked_lm
from lyricbert.runtime.distributed import World
from lyricbert.songs.store import open_store
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.metrics import read_metrics

SMALL = ("--tokens-per-batch", 128, "--log-every", 1, "--max-steps", 12, "--checkpoint-every", 4)


def arguments(store_dir: Path, model_dir: Path, out: Path) -> list[object]:
    return ["--data", store_dir, "--model", model_dir, "--out", out, *SMALL]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_all_ranks_skip_a_step_with_a_nan_loss_on_one_rank(tmp_path, store_dir, model_dir, precision):
    run = tmp_path / "run"
    common = (*arguments(store_dir, model_dir, run), "--precision", precision)
    finish(torchrun(2, "tests/faulty.py", "nan", 1, 3, 5, *common))
    records = {record["step"]: record for record in read_metrics(run / "metrics.jsonl") if "train/loss" in record}
    assert [step for step, record in records.items() if math.isnan(record["train/loss"])] == [3, 4, 5]
    skipped = [record["train/skipped_steps"] for record in records.values()]
    assert skipped == [0, 0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    assert records[12]["train/loss"] < records[1]["train/loss"]
    assert (run / "model").is_dir()


def test_too_many_skipped_steps_end_the_run_and_name_the_examples(tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    common = arguments(store_dir, model_dir, run)
    process = torchrun(2, "tests/faulty.py", "nan", 1, 6, 99, *common, "--max-bad-steps", 3)
    errors = process.communicate()[1]
    assert process.returncode != 0
    # A set: rank 1 repeats the message of rank 0 if torchrun needs more than ten seconds to end it.
    (named,) = set(
        re.findall(
            r"error: the loss was not finite in 3 consecutive steps. The last was step 8, with lines (.+) \.\.\. of",
            errors,
        )
    )
    # Steps count from 1 in messages, from 0 in the sampler. Rank 1 alone is named.
    rank_1 = World(rank=1, size=2, device=torch.device("cpu"))
    model, _ = load_masked_lm(str(model_dir))
    task = MaskedLMTask(model, MaskedLMConfig(tokens_per_batch=128), str(model_dir), open_store(store_dir), rank_1)
    batches = [task.micro_batch(rows, epoch=0) for rows in task.sampler.micro_batches(7, rank_1.rank, rank_1.size)]
    lines = np.concatenate([batch.examples for batch in batches])
    assert [int(line) for line in named.split(", ")] == lines[:8].tolist()
    assert (run / "checkpoints" / "step-00000004").is_dir()
    assert not (run / "model").exists()
    # Steps with a non-finite loss made no update. So the run resumes when the cause is gone.
    finish(torchrun(2, "train_mlm.py", *common))
    assert (run / "model").is_dir()


def test_a_timeout_names_the_rank_that_hangs(tmp_path, store_dir, model_dir):
    flags = (*arguments(store_dir, model_dir, tmp_path / "run"), "--global-micro-batches", 3, "--timeout-minutes", 0.2)
    process = torchrun(3, "tests/faulty.py", "hang", 1, 4, 4, *flags)
    ranks = children_of(process, 3)
    for rank in (0, 2):
        wait_for(lambda rank=rank: f"error: rank {rank} timed out waiting for rank 1 on " in process.errors, process)
        wait_for(lambda rank=rank: has_ended(ranks[rank]), process)
    process.kill()  # torchrun would give the one that hangs half a minute; it ends with torchrun
    process.communicate()
    while not has_ended(ranks[1]):
        time.sleep(0.01)


def children_of(process: ForkedCommand, count: int) -> list[int]:
    wait_for(lambda: len(children(process.pid)) == count, process)
    return children(process.pid)


def has_ended(pid: int) -> bool:
    """True if the process has ended. A zombie counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
