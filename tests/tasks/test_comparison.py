"""A comparison keeps the result of each piece, and uses only what fits."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import call, make_model

import lyricbert.tasks.comparison.identity as identity_module
from lyricbert import compare, prepare
from lyricbert.errors import UserError
from lyricbert.runtime import lock
from lyricbert.runtime.lock import LOCK, lock_run_directory
from lyricbert.tasks.comparison import run as run_module
from lyricbert.tasks.comparison.measure import Measurer
from lyricbert.tasks.triplet import TripletTask
from lyricbert.training.loop import Trainer

SMALL = ("--max-songs", 12, "--epochs", 1, "--tokens-per-batch", 512, "--max-length", 64, "--lr", 1e-3)
UNTRAINED = {"base-1-untrained.safetensors", "adapted-1-untrained.safetensors"}


@pytest.fixture(scope="module")
def adapted_dir(work, tokenizer) -> Path:
    from transformers import BertForMaskedLM

    return make_model(work / "another", BertForMaskedLM, tokenizer, seed=2)


@pytest.fixture
def run(store_dir, model_dir, adapted_dir) -> Callable[..., bytes]:
    """Compares into the directory `out`. Returns report.json."""

    def compare_into(out: Path, *more: object, data=store_dir, base=model_dir, adapted=adapted_dir) -> bytes:
        call(compare.main, "--data", data, "--base", base, "--adapted", adapted, "--out", out, *SMALL, *more)
        return (out / "report.json").read_bytes()

    return compare_into


@pytest.fixture(scope="module")
def finished(work, store_dir, model_dir, adapted_dir) -> Path:
    """The directory of a comparison with three seeds."""
    models = ("--base", model_dir, "--adapted", adapted_dir)
    call(compare.main, "--data", store_dir, *models, "--out", work / "finished", *SMALL, "--seeds", 3)
    return work / "finished"


@pytest.fixture
def out(finished, tmp_path) -> Path:
    """A copy to change."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def trainings(monkeypatch) -> list[int]:
    """The seeds of the trainings of a test."""
    seeds, whole = [], Trainer.train
    monkeypatch.setattr(Trainer, "train", lambda self, hooks: (seeds.append(self.config.seed), whole(self, hooks)))
    return seeds


def content(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != LOCK}


def remove_results(out: Path, *names: str) -> None:
    for name in names:
        (out / "results" / f"{name}.safetensors").unlink()


def test_more_seeds_use_what_is_there(out, run, finished, tmp_path, trainings):
    remove_results(out, "base-1-seed-1", "base-1-seed-2", "adapted-1-seed-2")
    times = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    assert run(out, "--seeds", 3) == (finished / "report.json").read_bytes()
    assert trainings == [1, 2, 2]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert run(out, "--seeds", 2, "--seed", 2) == run(tmp_path / "fresh", "--seeds", 2, "--seed", 2)
    assert trainings == [1, 2, 2, 3, 3, 2, 2, 3, 3]


def test_with_all_results_no_model_is_loaded_and_the_report_is_written_again(out, run, finished, monkeypatch):
    monkeypatch.setattr(run_module, "Measurer", None)
    (out / "report.json").unlink()
    (out / "report.md").unlink()
    assert run(out, "--seeds", 3) == (finished / "report.json").read_bytes()
    assert (out / "report.md").read_bytes() == (finished / "report.md").read_bytes()
    fewer = json.loads(run(out, "--seeds", 1))
    assert [row["seed"] for row in fewer["by_seed"]] == [0]


def test_the_report_does_not_depend_on_the_directory(out, run, tmp_path):
    assert run(tmp_path / "moved", "--seeds", 1) == run(out, "--seeds", 1)


# What is refused. Nothing in OUT may change.


def refused(out: Path, run: Callable[..., bytes], *more: object, **models: object) -> str:
    before = content(out)
    with pytest.raises(UserError) as caught:
        run(out, *more, **models)
    assert content(out) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--lr", 2e-3), "holds results with --lr 0.001, but the command has --lr 0.002"),
        (("--max-steps", 3), "holds results with --max-steps none, but the command has --max-steps 3"),
        (("--compress-gradients",), "with --compress-gradients off, but the command has --compress-gradients on"),
        (("--warmup-steps", 2), "holds results with --warmup-steps none, but the command has --warmup-steps 2"),
    ],
)
def test_another_setting_is_refused(out, run, flags, said):
    assert said in refused(out, run, *flags)
    remove_results(out, "base-1-untrained", "adapted-1-untrained")  # a result of another seed is one of the comparison
    assert said in refused(out, run, *flags, "--seed", 7)


def test_another_model_or_store_is_refused(out, run, model_dir, songs_file, tmp_path):
    assert "for another --base model" in refused(
        out, run, base=tmp_path.joinpath("..", "..", model_dir, "..", "another")
    )
    assert "for another --adapted model" in refused(out, run, adapted=model_dir)
    call(prepare.main, songs_file, "--out", tmp_path / "store", "--tokenizer", model_dir, "--val-fraction", 0.3)
    assert "for another store (--data)" in refused(out, run, data=tmp_path / "store")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_that_has_changed_at_the_same_path_is_refused(tmp_path, run, adapted_dir, name):
    model, out = shutil.copytree(adapted_dir, tmp_path / "model"), tmp_path / "out"
    run(out, "--seeds", 1, adapted=model)
    copy = shutil.copytree(model, tmp_path / "copy")
    run(out, "--seeds", 1, adapted=copy)  # the same model at another path
    (model / name).write_bytes((model / name).read_bytes() + b"\n")
    said = refused(out, run, "--seeds", 1, adapted=model)
    assert "for another --adapted model, or the files of the model have changed" in said


def test_results_of_another_version_are_refused(out, run, monkeypatch):
    monkeypatch.setattr(identity_module, "__version__", "9.9")
    assert "of lyricbert 0.1.0, but this is lyricbert 9.9; give another --out or remove" in refused(out, run)


def test_a_model_that_changes_during_the_comparison_is_refused(tmp_path, run, adapted_dir, monkeypatch):
    model, whole = shutil.copytree(adapted_dir, tmp_path / "model"), Measurer.measure

    def measure(self, piece, hooks):
        result = whole(self, piece, hooks)
        if piece.side == "adapted":
            (model / "config.json").write_text((model / "config.json").read_text() + "\n")
        return result

    monkeypatch.setattr(Measurer, "measure", measure)
    with pytest.raises(UserError, match=f"--adapted {model}: its files changed during the comparison"):
        run(tmp_path / "out", adapted=model)
    assert [path.name for path in (tmp_path / "out/results").iterdir()] == ["base-1-untrained.safetensors"]


FOREIGN = {
    "a file": lambda out, models: out.write_text("mine"),
    "a directory": lambda out, models: (out.mkdir(), (out / "mine").write_text("")),
    "a run": lambda out, models: (out.mkdir(), (out / "config.json").write_text("{}")),
    "a model": lambda out, models: shutil.copytree(models, out),
    "a broken link": lambda out, models: out.symlink_to("gone"),
    "an old report": lambda out, models: (out.mkdir(), (out / "report.json").write_text("{}")),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_of_a_comparison_is_refused(tmp_path, run, model_dir, kind):
    out = tmp_path / "out"
    FOREIGN[kind](out, model_dir)
    assert "exists and is not the directory of a comparison" in refused(out, run)
    assert not (out / LOCK).exists()


def test_a_second_command_in_the_same_directory_is_refused(out, run, monkeypatch):
    monkeypatch.setattr(lock, "_WAIT_SECONDS", 0.2)
    with lock_run_directory(out):
        assert "in use by another run" in refused(out, run, "--seeds", 3)


def test_a_command_that_adds_results_before_the_lock_is_taken_is_noticed(tmp_path, run, monkeypatch):
    """Models are loaded between the first look and the lock. Meanwhile, another command can start and end."""
    out, hold = tmp_path / "out", run_module.hold_directory

    def late(*arguments):
        monkeypatch.undo()
        run(out, "--seeds", 1, "--lr", 2e-3)
        return hold(*arguments)

    for flags, said in ((("--lr", 1e-3), "--lr 0.002, but"), (("--lr", 2e-3, "--seeds", 2), "just changed")):
        shutil.rmtree(out, ignore_errors=True)
        monkeypatch.setattr(run_module, "hold_directory", late)
        with pytest.raises(UserError, match=said):
            run(out, *flags)
        report = (out / "report.json").read_bytes()
        assert run(out, "--seeds", 1, "--lr", 2e-3) == report


def test_a_diverged_training_is_refused_and_not_stored(tmp_path, run):
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"base-1-seed-0: its metrics are not finite, because the training diverged"):
        run(out, "--lr", 1e10, "--seeds", 1)
    assert not (out / "report.json").exists()
    assert {path.name for path in (out / "results").iterdir()} == UNTRAINED


def test_a_bad_model_or_setting_leaves_no_directory(tmp_path, run):
    (tmp_path / "empty").mkdir()
    for flags, models, said in (
        ((), {"adapted": tmp_path / "empty"}, "no BERT model could be loaded"),
        (("--max-steps", 5, "--max-minutes", 5), {}, "give one of them"),
        (("--warmup-steps", 500), {}, "must not be more than"),
    ):
        with pytest.raises(UserError, match=said):
            run(tmp_path / "new" / "out", *flags, **models)
        assert not (tmp_path / "new").exists()


# Damage, and what a killed command leaves.


def flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a flipped bit": flip_last_bit,
    "empty": lambda path: path.write_bytes(b""),
    "a copy of another": lambda path: shutil.copy(path.with_name("base-1-seed-1.safetensors"), path),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n."),
    "of another program": lambda path: path.write_bytes(b"\x02\0\0\0\0\0\0\0{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_measured_again_with_one_warning(out, run, finished, trainings, capfd, damage):
    path = out / "results" / "base-1-seed-0.safetensors"
    DAMAGES[damage](path)
    assert run(out, "--seeds", 3) == (finished / "report.json").read_bytes()
    assert trainings == [0]
    assert capfd.readouterr().err.count(f"warning: {path}: damaged, and not used\n") == 1
    run(out, "--seeds", 3)
    assert "warning" not in capfd.readouterr().err


def test_leftovers_of_a_killed_command_are_accepted_and_removed(tmp_path, run, finished):
    """It was killed at its start, or while it wrote a result."""
    out = tmp_path / "out"
    out.mkdir()
    (out / LOCK).write_text("process 1 on here\n")
    (out / ".comparison.json.tmp-99").write_text("{")
    run(out, "--seeds", 1)
    (out / ".report.json.tmp-99").write_text("{")
    (out / "results" / ".base-1-seed-0.safetensors.tmp-99").write_text("half")
    run(out, "--seeds", 1)
    assert {path.name for path in out.iterdir()} == {LOCK, "comparison.json", "results", "report.json", "report.md"}
    trained = {"base-1-seed-0.safetensors", "adapted-1-seed-0.safetensors"}
    assert {path.name for path in (out / "results").iterdir()} == UNTRAINED | trained


def test_there_is_no_report_of_an_earlier_command_while_the_trainings_run(out, run, monkeypatch):
    class Killed(BaseException):
        pass

    def measure(self, piece, hooks):
        raise Killed

    monkeypatch.setattr(Measurer, "measure", measure)
    with pytest.raises(Killed):
        run(out, "--seeds", 4)
    assert not list(out.glob("report.*"))


def test_a_full_disk_ends_with_one_line_and_keeps_what_is_finished(tmp_path, run, monkeypatch):
    whole, out = Path.replace, tmp_path / "out"

    def replace(self, target):
        if "seed" in Path(target).name:
            raise OSError(28, "No space left on device", str(self))
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(UserError, match=r"\(No space left on device\); free some space and run the same command"):
        run(out, "--seeds", 1)
    assert {path.name for path in (out / "results").iterdir()} == UNTRAINED
    monkeypatch.undo()
    run(out, "--seeds", 1)


# What is measured and said.


def test_models_of_different_lengths_get_the_same_sections(tmp_path, run, tokenizer):
    """Those of the shorter one, which are cut at the number of its positions."""
    from transformers import BertForMaskedLM

    short = make_model(tmp_path / "short", BertForMaskedLM, tokenizer, seed=3, positions=24)
    figures = json.loads(run(tmp_path / "out", "--seeds", 1, adapted=short))["figures"]
    cut = json.loads(run(tmp_path / "cut", "--seeds", 1, "--max-length", 24))["figures"]
    whole = json.loads(run(tmp_path / "whole", "--seeds", 1))["figures"]
    for name in ("triplet_loss", "untrained_triplet_loss"):
        assert figures[name]["base"] == cut[name]["base"] != whole[name]["base"]


def test_the_evaluation_of_an_untrained_model_does_not_depend_on_the_seed(tmp_path, run, monkeypatch):
    """So it can be used with any seed. The songs that are trained on, chosen by seed, decide on shapes of batches."""
    scored, whole = [], TripletTask.scores
    monkeypatch.setattr(TripletTask, "scores", lambda self: (scored.append(self._config.seed), whole(self))[1])
    run(tmp_path / "out", "--seeds", 1, "--seed", 5)
    assert scored == [0, 0, 5, 5]


def test_the_report_says_how_much_of_the_data_it_used(tmp_path, run):
    report = json.loads(run(tmp_path / "out", "--seeds", 1, "--eval-examples", 30, "--eval-triplets", 20))
    counts = report["counts"]
    assert (counts["songs"], counts["triplets"], counts["lines"]) == (12, 20, 30)
    assert counts["all_songs"] == 48
    assert counts["all_lines"] > 100 and counts["all_triplets"] > 20
    shown = (tmp_path / "out/report.md").read_text()
    assert f"Each training used 12 of {counts['all_songs']} songs with at least two different sections." in shown
    assert f"20 of {counts['all_triplets']} held-out triplets and 30 of {counts['all_lines']} held-out lines" in shown


def test_without_a_terminal_each_finished_piece_is_a_line(tmp_path, run, capfd):
    run(tmp_path / "out", "--seeds", 2)
    lines = [line.split(":")[0] for line in capfd.readouterr().err.splitlines()]
    sides = [f"{side} model 1, without training" for side in ("base", "adapted")]
    assert lines == [*sides, *(f"{side} model 1, seed {seed}" for seed in (0, 1) for side in ("base", "adapted"))]
    assert os.listdir(tmp_path) == ["out"]
