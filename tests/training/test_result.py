"""RUN/model exists if and only if the run is finished. It is the model that --save-model selects."""

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import call, finish, torchrun
from safetensors.torch import load_file

import train_mlm
from lyricbert.errors import UserError
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.loop import Trainer
from lyricbert.training.step import TrainStep

BEST = ("--save-model", "best", "--eval-every", 1)
ALL = ("--checkpoint-every", 1, "--keep-last", 9)
Start = Callable[..., str]


@pytest.fixture
def start(store_dir, model_dir, capfd) -> Start:
    """Runs training, for four steps unless the flags say otherwise. Returns its standard error."""

    def start(run: Path, *more: object) -> str:
        capfd.readouterr()
        call(train_mlm.main, *flags(store_dir, model_dir, run), *more)
        return capfd.readouterr().err

    return start


def flags(store_dir: Path, model_dir: Path, run: Path) -> list[object]:
    return [
        *("--data", store_dir, "--model", model_dir, "--out", run, "--precision", "fp32", "--max-steps", 4),
        *("--tokens-per-batch", 256, "--global-micro-batches", 1),
    ]


@pytest.fixture(scope="module")
def finished(work, store_dir, model_dir) -> Path:
    call(train_mlm.main, *flags(store_dir, model_dir, work / "with a model"))
    return work / "with a model"


@pytest.fixture
def run(tmp_path, finished) -> Path:
    """A copy to change."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def model_while_training(run, monkeypatch) -> list[bool]:
    """Whether RUN/model existed when the steps of each start began."""
    seen, train = [], Trainer.train

    def look_and_train(self: Trainer, hooks: list) -> None:
        seen.append((run / "model").exists())
        train(self, hooks)

    monkeypatch.setattr(Trainer, "train", look_and_train)
    return seen


def weights(run: Path) -> bytes:
    return (run / "model/model.safetensors").read_bytes()


def assert_model_is_of_step(run: Path, step: int) -> None:
    saved = load_file(run / f"checkpoints/step-{step:08d}/model.safetensors")
    for name, tensor in load_file(run / "model/model.safetensors").items():
        assert torch.equal(tensor, saved[f"bert.{name}"]), name


def test_an_earlier_model_is_renamed_while_steps_remain(run, start, model_while_training):
    before = weights(run)
    for number, name in enumerate(("model.before", "model.before-2")):
        shutil.rmtree(run / "checkpoints")
        said = start(run, "--max-steps", 5 + number)
        assert f"{run}/model is the model of an earlier or shorter run; renamed to {run}/{name}\n" in said
        assert f"finished at step {5 + number}; the model is in {run}/model\n" in said
        assert_model_is_of_step(run, 5 + number)
    assert model_while_training == [False, False]
    assert (run / "model.before/model.safetensors").read_bytes() == before


def test_a_finished_run_keeps_its_model(run, start, model_while_training):
    before = {path: path.stat().st_mtime_ns for path in run.glob("model/*")}
    said = start(run)
    assert f"already finished at step 4; kept {run}/model\n" in said
    assert {path: path.stat().st_mtime_ns for path in run.glob("model/*")} == before
    assert model_while_training == [True]
    assert not (run / "model.before").exists()


def test_a_finished_run_without_its_model_writes_it(run, start):
    before = weights(run)
    shutil.rmtree(run / "model")
    assert f"finished at step 4; the model is in {run}/model\n" in start(run)
    assert weights(run) == before


@pytest.mark.parametrize("steps_remain", [False, True])
@pytest.mark.parametrize("content", ["a file", "nothing", "config.json", "model.safetensors"])
def test_a_model_that_is_not_complete_is_renamed(run, start, content, steps_remain):
    before = weights(run)
    if steps_remain:
        shutil.rmtree(run / "checkpoints")
    if content == "a file":
        shutil.rmtree(run / "model")
        (run / "model").write_text("notes")
    else:
        for path in run.glob("model/*"):
            if path.name != content:
                path.unlink()
    said = start(run)
    assert f"{run}/model is not a complete model; renamed to {run}/model.before\n" in said
    assert f"finished at step 4; the model is in {run}/model\n" in said
    assert weights(run) == before
    assert (run / "model.before").is_file() == (content == "a file")


@pytest.mark.parametrize(("step", "resume"), [(2, "auto"), (2, "none"), (4, "auto")])
def test_a_signal_in_the_last_step_lets_the_run_finish(tmp_path, start, monkeypatch, step, resume):
    run, updates, update = tmp_path / "run", [], TrainStep.update

    def signalled(self: TrainStep, loss_sum: torch.Tensor) -> torch.Tensor:
        updates.append(1)
        if len(updates) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, loss_sum)

    monkeypatch.setattr(TrainStep, "update", signalled)
    said = start(run, "--resume", resume)
    assert (run / "model").exists() == (step == 4)
    if step == 4:
        assert f"finished at step 4; the model is in {run}/model\n" in said
    else:
        again = "" if resume == "auto" else " with --resume auto"
        assert f"Stopped by SIGTERM at step 2. Checkpoint saved. Run the same command{again} to resume.\n" in said


# --save-model best.


@pytest.fixture(scope="module")
def finished_best(work, store_dir, model_dir) -> Path:
    """A run whose best evaluation is that of step 2."""
    with pytest.MonkeyPatch.context() as patch:
        let_evaluations_give(patch, {0: 9.0, 1: 1.5, 2: 1.25, 3: 3.0, 4: 2.0})
        call(train_mlm.main, *flags(store_dir, model_dir, work / "with the best model"), *BEST, *ALL)
    return work / "with the best model"


@pytest.fixture
def best(tmp_path, finished_best) -> Path:
    """A copy to change."""
    return shutil.copytree(finished_best, tmp_path / "run")


def let_evaluations_give(monkeypatch: pytest.MonkeyPatch, losses: dict[int, float]) -> None:
    steps = iter(losses)
    monkeypatch.setattr(MaskedLMTask, "evaluate", lambda self: {"eval/loss": losses[next(steps)], "eval/accuracy": 0.0})


def test_the_model_of_the_best_evaluation_is_saved(best, start):
    assert_model_is_of_step(best, 2)
    assert f"already finished at step 4; kept {best}/model\n" in start(best, *BEST)
    shutil.rmtree(best / "model")
    said = start(best, *BEST)
    which = "the model of step 2, which has the best eval/loss (1.2500),"
    assert f"finished at step 4; {which} is in {best}/model\n" in said
    assert_model_is_of_step(best, 2)


def test_a_resumed_run_remembers_the_best_evaluation(best, start, monkeypatch):
    shutil.rmtree(best / "checkpoints/step-00000004")
    let_evaluations_give(monkeypatch, {4: 2.0})
    assert "the model of step 2, which has the best eval/loss (1.2500)," in start(best, *BEST)


def test_the_best_evaluation_of_replaced_steps_is_forgotten(best, start, monkeypatch):
    let_evaluations_give(monkeypatch, {2: 2.0, 3: 3.0, 4: 2.0})
    said = start(best, *BEST, "--resume", best / "checkpoints/step-00000001", "--checkpoint-every", 1, "--keep-last", 1)
    assert "the model of step 1, which has the best eval/loss (1.5000)," in said
    assert_model_is_of_step(best, 1)


def test_a_run_cut_to_its_step_can_have_its_best_evaluation_there(tmp_path, start, monkeypatch):
    """The run's checkpoint of that step knows no evaluation. A repeated start must save the same model."""
    run = tmp_path / "run"
    cuttable = ("--save-model", "best", "--eval-every", 3, "--decay", "constant", "--warmup-steps", 1, *ALL)
    start(run, *cuttable)
    for path in (run / "model", *(run / f"checkpoints/step-0000000{step}" for step in (3, 4))):
        shutil.rmtree(path)
    let_evaluations_give(monkeypatch, {2: 1.5})
    for _ in range(2):
        said = start(run, *cuttable, "--max-steps", 2)
        assert f"the model of step 2, which has the best eval/loss (1.5000), is in {run}/model" in said
        assert_model_is_of_step(run, 2)
        shutil.rmtree(run / "model")


@pytest.mark.parametrize("problem", ["missing", "damaged", "of another run", "another directory"])
def test_a_resumed_run_without_its_best_checkpoint_chooses_from_later_evaluations(best, start, monkeypatch, problem):
    checkpoint, run, resume = best / "checkpoints/step-00000002", best, "auto"
    shutil.rmtree(best / "checkpoints/step-00000004")
    if problem == "missing":
        shutil.rmtree(checkpoint)
    elif problem == "damaged":
        (checkpoint / "model.safetensors").write_bytes(b"")
    elif problem == "of another run":
        shutil.rmtree(checkpoint)
        shutil.copytree(best / "checkpoints/step-00000001", checkpoint)
    else:
        run, resume = best.with_name("new"), best / "checkpoints/step-00000003"
    let_evaluations_give(monkeypatch, {4: 2.0})
    said = start(run, *BEST, *ALL, "--resume", resume)
    unusable = f"{run}/checkpoints has no valid checkpoint of the best evaluation so far, at step 2"
    assert said.count(f"{unusable}; the best is chosen from evaluations after step 3\n") == 1
    assert f"the model of step 4, which has the best eval/loss (2.0000), is in {run}/model" in said
    assert_model_is_of_step(run, 4)


@pytest.mark.parametrize("is_damaged", [True, False])
def test_a_best_checkpoint_that_cannot_be_used_is_an_error(best, start, is_damaged):
    shutil.rmtree(best / "model")
    checkpoint = best / "checkpoints/step-00000002"
    if is_damaged:
        (checkpoint / "model.safetensors").write_bytes(b"")
        problem = f"{checkpoint}: model.safetensors does not match its checksum"
    else:
        shutil.rmtree(checkpoint)
        problem = f"{checkpoint} is missing"
    with pytest.raises(UserError) as raised:
        start(best, *BEST)
    advice = "add --keep-going to save the model of the last step"
    assert str(raised.value) == f"--save-model best: {problem}; {advice}"
    assert not (best / "model").exists()
    said = start(best, *BEST, "--keep-going")
    assert f"warning: --save-model best: {problem}; the model of the last step is saved\n" in said
    assert f"finished at step 4; the model of the last step is in {best}/model\n" in said
    assert_model_is_of_step(best, 4)


def test_without_a_finite_evaluation_there_is_no_best(tmp_path, start, monkeypatch):
    let_evaluations_give(monkeypatch, dict.fromkeys(range(5), math.nan))
    with pytest.raises(
        UserError, match="--save-model best: no evaluation gave a finite eval/loss; add --keep-going to"
    ):
        start(tmp_path / "run", *BEST)
    assert "no evaluation gave a finite eval/loss; the model of the last" in start(
        tmp_path / "run", *BEST, "--keep-going"
    )


def test_settings_that_decide_the_best_evaluation_must_not_change(best, start):
    for change, complaint in [
        (("--eval-every", 2), "saved with eval_every 1, this run has 2"),
        (("--eval-examples", 9), "saved with eval_examples 10000, this run has 9"),
        (("--save-model", "last"), "saved with save_model best, this run has none"),
    ]:
        with pytest.raises(UserError, match=f"{complaint}; give another --out"):
            start(best, *BEST, *change)


def test_two_processes_save_the_best_and_one_process_saves_it_again(tmp_path, store_dir, model_dir, start):
    run = tmp_path / "run"
    much_too_fast = (*BEST, "--lr", 1.0, "--decay", "constant", "--global-micro-batches", 2)
    said = finish(torchrun(2, "train_mlm.py", *flags(store_dir, model_dir, run), *much_too_fast))
    state = json.loads((run / "checkpoints/step-00000004/state.json").read_text())
    best = state["progress"]["best_step"]
    assert best < 4
    assert said.count(f"finished at step 4; the model of step {best}, which has the best eval/loss") == 1
    assert_model_is_of_step(run, best)
    before = weights(run)
    shutil.rmtree(run / "model")
    start(run, *much_too_fast)
    assert weights(run) == before


# Flags that came after the first release.


def test_a_checkpoint_without_the_keys_of_newer_flags_is_resumed(run, start):
    """They are not in the identity of a run that does not use the flags, so a checkpoint from before them matches."""
    path = run / "checkpoints/step-00000004/state.json"
    assert {"warmup_steps", "save_model", "eval_every"}.isdisjoint(json.loads(path.read_text())["identity"])
    assert {"warmup_steps", "save_model"}.isdisjoint(json.loads((run / "config.json").read_text()))
    assert "already finished at step 4" in start(run, "--warmup-fraction", 0.06, "--save-model", "last")
    with pytest.raises(UserError, match="saved without save_model, this run has best; give another --out"):
        start(run, *BEST)
