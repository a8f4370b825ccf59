"""The checkpoint that a run resumes from, the checkpoints that it replaces, and runs that are made longer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import call
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_mlm
from lyricbert.errors import UserError
from lyricbert.training import run as training_run
from lyricbert.training.checkpoint import checkpoint_path, checkpoints, leftovers, prune, step_of, verify
from lyricbert.training.metrics import read_metrics
from lyricbert.training.resume import move_replaced_checkpoints

FOUR = ("--max-steps", 4)
REPEATABLE = ("train/loss", "train/lr", "train/grad_norm", "eval/loss", "eval/accuracy")
Start = Callable[..., str]


@pytest.fixture(scope="module")
def flags(store_dir, model_dir) -> list[object]:
    """A run whose schedule does not depend on its length."""
    return [
        *("--data", store_dir, "--model", model_dir, "--tokens-per-batch", 1024, "--global-micro-batches", 1),
        *("--decay", "constant", "--warmup-steps", 3, "--log-every", 1, "--eval-every", 3, "--checkpoint-every", 1),
        *("--precision", "fp32"),
    ]


@pytest.fixture(scope="module")
def finished(work, flags) -> Path:
    call(train_mlm.main, *flags, "--out", work / "resumable", *FOUR, "--keep-last", 9)
    return work / "resumable"


@pytest.fixture(scope="module")
def longer(work, flags) -> Path:
    """The same run with a length of one epoch (six steps) from the start."""
    call(train_mlm.main, *flags, "--out", work / "longer", "--epochs", 1, "--keep-last", 9)
    return work / "longer"


@pytest.fixture
def run(tmp_path, finished) -> Path:
    """A copy to change."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def start(run, flags, capfd) -> Start:
    """Starts the run again with more flags. Returns its standard error."""

    def start(*more: object) -> str:
        capfd.readouterr()
        call(train_mlm.main, *flags, "--out", run, "--keep-last", 9, *more)
        return capfd.readouterr().err

    return start


def steps(run: Path) -> list[int]:
    return [step_of(path) for path in checkpoints(run / "checkpoints")]


def records(run: Path) -> list[tuple[int, str, float]]:
    """The reproducible figures of the run, in the order of `metrics.jsonl`."""
    found = read_metrics(run / "metrics.jsonl")
    return [(record["step"], name, record[name]) for record in found for name in REPEATABLE if name in record]


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


def damage(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"")


# Files with names that are not those of checkpoints.

FOREIGN = ("step-00000012.bak", "step-00000003_good", "step-7", "step-000000009", ".step-notes", ".step-00000005.bak")


def test_other_names_are_ignored_and_kept(run, start):
    directory = run / "checkpoints"
    for name in FOREIGN:
        shutil.copytree(directory / "step-00000003", directory / name)
    (directory / "step-00000099").write_text("a file")
    (directory / ".step-00000008.tmp-1").mkdir()
    (directory / ".step-00000001.removed").mkdir()
    assert [path.name for path in leftovers(directory)] == [".step-00000008.tmp-1", ".step-00000001.removed"]
    assert steps(run) == [4, 3, 2, 1]
    assert "step-00000004" in start("--max-steps", 5, "--keep-last", 1)
    assert {path.name for path in directory.iterdir()} == {"step-00000005", "step-00000099", *FOREIGN}


def test_nine_digit_steps_sort_after_eight_digit_steps(tmp_path):
    for step in (99_999_999, 100_000_000):
        checkpoint_path(tmp_path, step).mkdir()
    assert [step_of(path) for path in checkpoints(tmp_path)] == [100_000_000, 99_999_999]
    prune(tmp_path, keep_last=1, best_step=-1)
    assert [step_of(path) for path in checkpoints(tmp_path)] == [100_000_000]


# --resume PATH.


def test_resuming_from_an_earlier_checkpoint_replaces_the_later_ones(run, start, finished):
    said = start("--resume", run / "checkpoints/step-00000002", "--max-steps", 3, "--keep-last", 1)
    aside = run / "checkpoints/replaced-by-step-2"
    assert f"moved the checkpoints that this run replaces (2) to {aside} and removed the metrics after step 2" in said
    assert sorted(path.name for path in aside.iterdir()) == ["step-00000003", "step-00000004"]
    assert all(verify(path) is None for path in aside.iterdir())
    assert steps(run) == [3]
    assert f"{run}/model is the model of an earlier or shorter run; renamed to {run}/model.before" in said
    assert f"resuming from {run}/checkpoints/step-00000003" in start(*FOUR)  # not the 4 from before
    assert records(run) == records(finished)
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4]


def test_resuming_from_an_earlier_checkpoint_twice_keeps_both_branches(run, start):
    for _ in range(2):
        start("--resume", run / "checkpoints/step-00000003", *FOUR)
    for name in ("replaced-by-step-3", "replaced-by-step-3-2"):
        assert [path.name for path in (run / "checkpoints" / name).iterdir()] == ["step-00000004"]
    assert {path.name for path in run.iterdir()} >= {"model", "model.before", "model.before-2"}


@pytest.mark.parametrize("are_moved", [False, True])
def test_after_an_interruption_the_same_command_replaces_checkpoints_and_model(run, start, monkeypatch, are_moved):
    def interrupted(*arguments: object) -> None:
        if are_moved:
            move_replaced_checkpoints(*arguments)
        raise KeyboardInterrupt

    command = ("--resume", checkpoint_path(run / "checkpoints", 3), "--max-steps", 3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training_run, "move_replaced_checkpoints", interrupted)
        start(*command)
    assert not (run / "model").exists()  # the model of step 4 would look like that of a finished run
    start(*command)
    assert steps(run) == [3, 2, 1]
    saved = load_file(checkpoint_path(run / "checkpoints", 3) / "model.safetensors")
    for name, tensor in load_file(run / "model/model.safetensors").items():
        assert torch.equal(tensor, saved[f"bert.{name}"]), name


def test_resuming_from_an_earlier_checkpoint_restores_its_best_evaluation(run, start):
    """The best of the abandoned steps is not the best of the new ones."""
    best = {step: progress(run, step)["best_step"] for step in (2, 4)}
    assert best == {2: -1, 4: 4}
    start("--resume", run / "checkpoints/step-00000002", "--max-steps", 3)
    assert progress(run, 3)["best_step"] == 3


def progress(run: Path, step: int) -> dict[str, object]:
    return json.loads((checkpoint_path(run / "checkpoints", step) / "state.json").read_text())["progress"]


@pytest.mark.parametrize("step", [3, 4])
def test_a_checkpoint_of_another_directory_replaces_those_of_this_run(run, start, tmp_path, finished, step):
    """From then on --resume auto finds it in the run's directory, even if nothing is left to do."""
    elsewhere = shutil.copytree(checkpoint_path(finished / "checkpoints", step), tmp_path / "good")
    old = {own: (checkpoint_path(run / "checkpoints", own) / "model.safetensors").stat().st_ino for own in (step, 2)}
    start("--resume", elsewhere, *FOUR)
    aside = run / f"checkpoints/replaced-by-step-{step}"
    assert (aside / f"step-{step:08d}/model.safetensors").stat().st_ino == old[step]
    assert (run / "checkpoints/step-00000002/model.safetensors").stat().st_ino == old[2]
    assert (run / "model.before").is_dir()
    assert steps(run) == [4, 3, 2, 1]
    assert records(run) == records(finished)
    for name in ("model.safetensors", "optimizer.pt"):
        ours, theirs = (checkpoint_path(path / "checkpoints", step) / name for path in (run, finished))
        assert ours.read_bytes() == theirs.read_bytes()
    assert f"already finished at step 4; kept {run}/model" in start(*FOUR)


def test_a_damaged_checkpoint_does_not_replace_new_ones(run, start):
    damage(run / "checkpoints/step-00000004")
    for step in (3, 1):
        shutil.rmtree(checkpoint_path(run / "checkpoints", step))
    said = start("--max-steps", 3, "--keep-last", 1)
    assert "step-00000004: model.safetensors does not match its checksum; this checkpoint is skipped" in said
    assert f"(1) to {run}/checkpoints/replaced-by-step-2 and" in said
    assert steps(run) == [3]


# A finished run is made longer.


@pytest.mark.parametrize("length", [("--max-steps", 6), ("--epochs", 1)])
def test_a_finished_run_made_longer_equals_the_longer_run(run, start, longer, length):
    said = start(*length)
    assert f"resuming from {run}/checkpoints/step-00000004" in said
    assert f"finished at step 6; the model is in {run}/model" in said
    for name in ("checkpoints/step-00000006/model.safetensors", "checkpoints/step-00000006/optimizer.pt"):
        assert (run / name).read_bytes() == (longer / name).read_bytes()
    assert (run / "model/model.safetensors").read_bytes() == (longer / "model/model.safetensors").read_bytes()
    last_evaluation = {(4, "eval/loss"), (4, "eval/accuracy")}
    assert [record for record in records(run) if record[:2] not in last_evaluation] == records(longer)
    assert json.loads((run / "config.json").read_text())["max_steps"] == (6 if "--max-steps" in length else None)


def test_a_run_of_epochs_can_end_at_a_step_of_a_later_epoch(longer, tmp_path, flags, capfd):
    run = shutil.copytree(longer, tmp_path / "run")
    call(train_mlm.main, *flags, "--out", run, "--max-steps", 7)
    assert "finished at step 7" in capfd.readouterr().err


def test_the_learning_rate_rises_and_stays(longer):
    rates = [value for _, name, value in records(longer) if name == "train/lr"]
    assert rates == pytest.approx([5e-5 * share for share in (1 / 6, 3 / 6, 5 / 6, 1, 1, 1)])


def test_a_length_below_the_steps_done_is_refused(run, start):
    before = contents(run)
    with pytest.raises(
        UserError,
        match="step-00000004: is at step 4, but this run ends at step 3; give more --epochs or --max-steps, or another",
    ):
        start("--max-steps", 3)
    assert contents(run) == before


def test_an_unfinished_run_cut_to_its_step_equals_the_shorter_run(longer, tmp_path, flags, finished, capfd):
    run = shutil.copytree(longer, tmp_path / "run")
    for path in (run / "model", *(checkpoint_path(run / "checkpoints", step) for step in (5, 6))):
        shutil.rmtree(path)
    for _ in range(2):
        call(train_mlm.main, *flags, "--out", run, *FOUR, "--keep-last", 9)
        assert records(run) == records(finished)
        assert (run / "model/model.safetensors").read_bytes() == (finished / "model/model.safetensors").read_bytes()
        said = capfd.readouterr().err
    assert f"already finished at step 4; kept {run}/model" in said
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("eval/loss")] == [0, 3, 4]


def test_other_settings_of_the_schedule_must_not_change(run, start):
    with pytest.raises(UserError, match="saved with warmup_steps 3, this run has 2; give another --out"):
        start("--max-steps", 6, "--warmup-steps", 2)
    with pytest.raises(UserError, match="saved with decay constant, this run has linear; give another --out"):
        start("--max-steps", 6, "--decay", "linear")


def test_a_run_of_fixed_length_explains_how_to_train_further(tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    plain = ("--data", store_dir, "--model", model_dir, "--tokens-per-batch", 512)
    once = (*plain, "--global-micro-batches", 1, "--out", run)
    call(train_mlm.main, *once, "--max-steps", 2)
    with pytest.raises(UserError, match="saved without warmup_steps, this run has 1; give another --out"):
        call(train_mlm.main, *once, "--max-steps", 4, "--warmup-steps", 1)
    with pytest.raises(UserError) as raised:
        call(train_mlm.main, *once, "--max-steps", 4)
    assert str(raised.value) == (
        f"{run}/checkpoints/step-00000002: saved with max_steps 2, this run has 4; to train its model further, use"
        f" --model {run}/model --out RUN2. Only a run that started with --decay constant and --warmup-steps can be made"
        " longer"
    )
    call(train_mlm.main, *plain, "--model", run / "model", "--out", tmp_path / "run2", "--max-steps", 1)
    shutil.rmtree(run / "model")
    with pytest.raises(UserError, match="this run has 4; finish that run with its original length first, or give"):
        call(train_mlm.main, *once, "--max-steps", 4)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (("--max-steps", 2), "--warmup-steps 3: must not be more than the 2 steps of the run$"),
        (("--epochs", 1, "--head-warmup-steps", 4), "more than the 2 steps of the run after --head-warmup-steps 4$"),
        (("--max-minutes", 1), "--warmup-steps and --max-minutes: give one of them, or --warmup-fraction"),
    ],
)
def test_a_warm_up_that_does_not_fit_is_refused(tmp_path, flags, wrong, complaint):
    with pytest.raises(UserError, match=complaint):
        call(train_mlm.main, *flags, "--out", tmp_path / "run", *wrong)
    assert not (tmp_path / "run").exists()


def test_a_restarted_job_does_not_return_to_the_named_checkpoint(run, start, monkeypatch):
    """SLURM and torchrun repeat the command, `--resume PATH` included."""
    named = ("--resume", checkpoint_path(run / "checkpoints", 2))
    start(*named, *FOUR)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    said = start(*named, *FOUR)
    assert "already finished at step 4" in said
    assert len(list((run / "checkpoints").glob("replaced-by-step-*"))) == 1
    assert (run / "model").is_dir()


def test_a_copy_under_the_name_of_another_step_is_skipped(run, start):
    shutil.copytree(checkpoint_path(run / "checkpoints", 4), checkpoint_path(run / "checkpoints", 99))
    said = start(*FOUR)
    assert "it is a copy of the checkpoint of step 4; this checkpoint is skipped" in said
    assert "resuming from" in said and "step-00000004" in said


def test_a_link_is_no_checkpoint_and_pruning_leaves_it(run, tmp_path):
    path = checkpoint_path(run / "checkpoints", 1)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    prune(run / "checkpoints", keep_last=1, best_step=3)
    assert steps(run) == [4, 3]
    assert verify(tmp_path / "elsewhere") is None


def test_the_model_of_the_run_itself_is_refused_as_its_start(run, start):
    with pytest.raises(UserError, match=r"--model .*: lies in --out"):
        start("--model", run / "model", *FOUR)
