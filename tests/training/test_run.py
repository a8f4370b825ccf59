"""The number of micro-batches in a step when a run resumes with another number of processes."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import call

import train_mlm
from lyricbert.errors import FailedElsewhere, UserError
from lyricbert.runtime.distributed import World
from lyricbert.training.resume import resolve_config

STEPS = ("--max-steps", 2, "--checkpoint-every", 1, "--tokens-per-batch", 128)


class FirstOfSeveral(World):
    """Rank 0 of `size` ranks. The others contribute nothing to sums."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


class SecondOfTwo(World):
    """Rank 1. Rank 0 has an error."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor + 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory, store_dir, model_dir) -> Path:
    """A run of one process with six micro-batches in a step, and a checkpoint after each of its two steps."""
    out = tmp_path_factory.mktemp("trained") / "run"
    arguments = ("--data", store_dir, "--model", model_dir, "--out", out, *STEPS)
    call(train_mlm.main, *arguments, "--global-micro-batches", 6)
    return out


@pytest.fixture
def run(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def micro_batches(out: Path, processes: int, **settings: object) -> int:
    """The number of micro-batches that a command with these settings uses."""
    config = train_mlm.Config(data=Path("store"), model="model", out=out, **settings)
    world = FirstOfSeveral(rank=0, size=processes, device=torch.device("cpu"))
    return resolve_config(config, world).global_micro_batches


@pytest.mark.parametrize("processes", [1, 2, 3, 6])
def test_a_resumed_run_keeps_its_number_of_micro_batches(run, processes):
    assert micro_batches(run, processes) == 6


@pytest.mark.parametrize("processes", [4, 5, 8])
def test_a_number_of_processes_that_does_not_divide_it_is_refused(run, processes):
    with pytest.raises(UserError, match=r"has 6 micro-batches in a step.*that divides 6, or give another --out"):
        micro_batches(run, processes)


def test_only_rank_0_reports_a_number_that_does_not_fit():
    """The other rank waits for it, and then reports nothing of its own."""
    config = train_mlm.Config(data=Path("store"), model="model", out=Path("run"), global_micro_batches=3)
    with pytest.raises(FailedElsewhere):
        resolve_config(config, SecondOfTwo(rank=1, size=2, device=torch.device("cpu")))


def test_resume_with_a_path_uses_the_number_of_that_checkpoint(run, tmp_path):
    assert micro_batches(tmp_path / "new", 1, resume=str(run / "checkpoints/step-00000001")) == 6


def test_the_flag_overrides_the_checkpoint(run):
    assert micro_batches(run, 4, global_micro_batches=8) == 8


def test_a_run_without_a_readable_checkpoint_uses_the_default(run):
    """A damaged checkpoint is skipped, and the previous one is used."""
    damage(run / "checkpoints/step-00000002")
    assert micro_batches(run, 1) == 6
    damage(run / "checkpoints/step-00000001")
    assert micro_batches(run, 1) == 4
    shutil.rmtree(run / "checkpoints")
    assert micro_batches(run, 8) == 8


def damage(checkpoint: Path) -> None:
    path = checkpoint / "state.json"
    path.write_text(path.read_text().replace('"global_micro_batches": 6', '"global_micro_batches": 8'))
