"""What a model remembers of its training, and the stores that it must not be measured on."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from conftest import call, make_songs

import train_mlm
import train_triplet
from lyricbert import compare, fill, prepare
from lyricbert.errors import UserError
from lyricbert.models.history import RUNS_FILE, SONGS_FILE, History, read_history
from lyricbert.songs.store import TRAIN, VALIDATION, open_store
from lyricbert.tasks.comparison import run as comparison
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.step import TrainStep

SPLIT = ("--val-fraction", 0.2)


@pytest.fixture(scope="module")
def foreign_dir(work, songs_file, model_dir) -> Path:
    """The songs of `store_dir`, split in another way."""
    call(prepare.main, songs_file, "--out", work / "foreign", "--tokenizer", model_dir, *SPLIT, "--seed", 4)
    return work / "foreign"


@pytest.fixture(scope="module")
def other_dir(work, model_dir) -> Path:
    """A store of other songs."""
    songs = work / "other.jsonl"
    songs.write_text("".join(json.dumps(song) + "\n" for song in make_songs(30, seed=2)))
    call(prepare.main, songs, "--out", work / "other", "--tokenizer", model_dir, *SPLIT, "--seed", 3)
    return work / "other"


def train(main, data: Path, model: Path | str, run: Path, *more: object, steps: int = 2) -> Path:
    """Train, and return RUN/model."""
    length = ("--max-steps", steps, "--tokens-per-batch", 256, "--global-micro-batches", 1, "--precision", "fp32")
    call(main, "--data", data, "--model", model, "--out", run, *length, *more)
    return run / "model"


@pytest.fixture(scope="module")
def adapted(work, store_dir, model_dir) -> Path:
    return train(train_mlm.main, store_dir, model_dir, work / "with a history")


@pytest.fixture
def copy(adapted, tmp_path) -> Path:
    """A copy to change."""
    return shutil.copytree(adapted, tmp_path / "copy")


def songs(data: Path, split: int) -> set[int]:
    store = open_store(data)
    return set(store.song_keys[store.song_split == split].tolist())


def runs(model: Path) -> list[dict[str, object]]:
    return json.loads((model / RUNS_FILE).read_text())["runs"]


def test_a_model_remembers_its_run(adapted, store_dir):
    store = open_store(store_dir)
    (run,) = runs(adapted)
    assert run["versions"].keys() == {"lyricbert", "torch", "transformers"}
    assert {name: value for name, value in run.items() if name != "versions"} == {
        "command": "mlm",
        "steps": 2,
        "store": store.identity,
        "store_format": store.meta["format_version"],
        "split": {"seed": store.meta["seed"], "val_fraction": 0.2, "near_duplicates": "group"},
        "sources": {"count": 1, "first": ["songs.jsonl"], "sha256": store.meta["files"]["sources.jsonl"]},
        "training_songs": len(songs(store_dir, TRAIN)),
        "held_out_songs_seen_before": 0,
    }


def test_a_model_remembers_its_songs(adapted, store_dir):
    keys = np.load(adapted / SONGS_FILE, allow_pickle=False)
    assert keys.dtype == np.int64
    assert keys.tolist() == sorted(songs(store_dir, TRAIN))
    assert not songs(store_dir, VALIDATION) & set(keys.tolist())


def test_runs_and_songs_are_carried_along(tmp_path, adapted, store_dir, other_dir):
    """All training songs of the second store count, although --max-songs leaves most of them out."""
    model = train(train_triplet.main, other_dir, adapted, tmp_path / "run", "--max-songs", 5)
    assert [(run["command"], run["store"]) for run in runs(model)] == [
        ("mlm", open_store(store_dir).identity),
        ("triplet", open_store(other_dir).identity),
    ]
    assert runs(model)[:1] == runs(adapted)
    keys = np.load(model / SONGS_FILE, allow_pickle=False).tolist()
    assert keys == sorted(songs(store_dir, TRAIN) | songs(other_dir, TRAIN))


def test_a_run_that_trains_only_the_head_counts(tmp_path, store_dir, model_dir):
    model = train(train_mlm.main, store_dir, model_dir, tmp_path / "run", "--head-warmup-steps", 2)
    assert [run["steps"] for run in runs(model)] == [2]
    assert set(read_history(str(model)).songs.tolist()) == songs(store_dir, TRAIN)


def test_the_steps_are_those_of_the_model_that_is_saved(tmp_path, store_dir, model_dir, monkeypatch):
    losses = iter([9.0, 2.0, 1.0, 3.0])
    monkeypatch.setattr(MaskedLMTask, "evaluate", lambda self: {"eval/loss": next(losses), "eval/accuracy": 0.0})
    best = ("--save-model", "best", "--eval-every", 1, "--checkpoint-every", 1, "--keep-last", 9)
    model = train(train_mlm.main, store_dir, model_dir, tmp_path / "run", *best, steps=3)
    assert [run["steps"] for run in runs(model)] == [2]
    for path in (model, tmp_path / "run/checkpoints/step-00000002"):
        shutil.rmtree(path)
    train(train_mlm.main, store_dir, model_dir, tmp_path / "run", *best, "--keep-going", steps=3)
    assert [run["steps"] for run in runs(model)] == [3]


def test_a_run_that_is_made_longer_is_one_run(tmp_path, store_dir, model_dir):
    for steps in (1, 2):
        constant = ("--decay", "constant", "--warmup-steps", 1)
        model = train(train_mlm.main, store_dir, model_dir, tmp_path / "run", *constant, steps=steps)
        assert [run["steps"] for run in runs(model)] == [steps]


def test_the_model_of_a_resumed_run_has_the_same_files(tmp_path, adapted, store_dir, monkeypatch):
    uninterrupted = train(train_mlm.main, store_dir, adapted, tmp_path / "uninterrupted", steps=3)
    update = TrainStep.update

    def stop_after_this_step(self: TrainStep, loss_sum: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return update(self, loss_sum)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "update", stop_after_this_step)
        resumed = train(train_mlm.main, store_dir, adapted, tmp_path / "resumed", steps=3)
    assert not resumed.exists()
    train(train_mlm.main, store_dir, adapted, tmp_path / "resumed", steps=3)
    contents = {path.name: path.read_bytes() for path in uninterrupted.iterdir()}
    assert {RUNS_FILE, SONGS_FILE} < contents.keys()
    assert {path.name: path.read_bytes() for path in resumed.iterdir()} == contents


# Held-out songs that a model was trained on.


def seen(model: Path, data: Path) -> str:
    count = len(songs(data, VALIDATION) & set(np.load(model / SONGS_FILE).tolist()))
    assert count > 0
    return f"{model} was trained on {count} of the {len(songs(data, VALIDATION))} held-out songs of {data}"


ADVICE = "give the store that it was trained on, or prepare one that is split in the same way"


@pytest.mark.parametrize("side", ["base", "adapted"])
def test_compare_refuses_a_store_with_held_out_songs_that_a_model_has_seen(
    tmp_path, adapted, store_dir, foreign_dir, model_dir, monkeypatch, side
):
    monkeypatch.setattr(comparison, "Measurer", None)  # nothing is loaded before
    models = {"base": model_dir, "adapted": model_dir, side: adapted}
    arguments = ("--base", models["base"], "--adapted", models["adapted"], "--out", tmp_path / "report")
    with pytest.raises(UserError) as caught:
        call(compare.main, "--data", foreign_dir, *arguments)
    flags = f"--seed {open_store(store_dir).meta['seed']} --val-fraction 0.2 --near-duplicates group"
    assert str(caught.value) == f"--{side} {seen(adapted, foreign_dir)}; {ADVICE}: {flags}"
    assert not list(tmp_path.iterdir())


def test_the_advice_is_not_to_split_a_grown_store_as_it_is_split(store_dir):
    """A near duplicate that is added can move a song from training to validation."""
    store = open_store(store_dir)
    grown = replace(store, song_split=1 - store.song_split)
    problem = History().with_run("mlm", 1, store).describe_seen(grown)
    assert problem.endswith("near duplicates that were added or removed moved songs to the other side")


def test_other_stores_are_accepted(adapted, model_dir, store_dir, foreign_dir, other_dir):
    """Those that the model was trained on, and those of other songs. A model without a history has seen no song."""
    assert read_history(str(adapted)).describe_seen(open_store(store_dir)) is None
    assert read_history(str(adapted)).describe_seen(open_store(other_dir)) is None
    assert read_history(str(model_dir)).describe_seen(open_store(foreign_dir)) is None


def test_training_on_such_a_store_prints_a_warning_and_is_remembered(
    tmp_path, adapted, store_dir, foreign_dir, other_dir, capfd
):
    capfd.readouterr()
    first = train(train_mlm.main, foreign_dir, adapted, tmp_path / "first")
    warning = f"warning: held-out figures will look too good, because --model {seen(adapted, foreign_dir)}; {ADVICE}"
    assert capfd.readouterr().err.count(warning) == 1
    overlap = len(songs(store_dir, TRAIN) & songs(foreign_dir, VALIDATION))
    assert [run["held_out_songs_seen_before"] for run in runs(first)] == [0, overlap]
    train(train_triplet.main, store_dir, first, tmp_path / "second")  # no split holds out what both stores do
    assert "; give a store whose held-out songs are in none of the stores that it" in capfd.readouterr().err
    train(train_mlm.main, other_dir, adapted, tmp_path / "third")
    assert "warning" not in capfd.readouterr().err


# Damaged files.


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGES = {
    "runs truncated": lambda model: (model / RUNS_FILE).write_text((model / RUNS_FILE).read_text()[:-9]),
    "runs empty": lambda model: (model / RUNS_FILE).write_text(""),
    "runs not UTF-8": lambda model: (model / RUNS_FILE).write_bytes(b"\xff"),
    "runs too deep": lambda model: (model / RUNS_FILE).write_text("[" * 100_000),
    "a list": lambda model: (model / RUNS_FILE).write_text("[]"),
    "a directory": lambda model: ((model / RUNS_FILE).unlink(), (model / RUNS_FILE).mkdir()),
    "a broken link": lambda model: ((model / RUNS_FILE).unlink(), (model / RUNS_FILE).symlink_to("gone")),
    "no runs": lambda model: rewrite(model / RUNS_FILE, runs=None),
    "a run without a split": lambda model: rewrite(model / RUNS_FILE, runs=[{}]),
    "a split that is a number": lambda model: rewrite(model / RUNS_FILE, runs=[{"split": 1}]),
    "songs gone": lambda model: (model / SONGS_FILE).unlink(),
    "songs truncated": lambda model: (model / SONGS_FILE).write_bytes((model / SONGS_FILE).read_bytes()[:-8]),
    "songs of another model": lambda model: np.save(model / SONGS_FILE, np.arange(3)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_history_is_an_error(tmp_path, copy, store_dir, model_dir, damage):
    DAMAGES[damage](copy)
    out = ("--out", tmp_path / "out")
    for main, *arguments in (
        (train_mlm.main, "--model", copy),
        (train_triplet.main, "--model", copy),
        (compare.main, "--base", copy, "--adapted", model_dir),
        (compare.main, "--base", model_dir, "--adapted", copy),
    ):
        with pytest.raises(UserError) as caught:
            call(main, "--data", store_dir, *arguments, *out)
        assert str(caught.value).startswith(f"{copy}: {RUNS_FILE} or {SONGS_FILE} is missing or damaged")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_a_history_of_a_newer_version_is_not_called_damaged(copy):
    rewrite(copy / RUNS_FILE, format_version=2)
    with pytest.raises(UserError, match="has format 2, but this version of lyricbert reads format 1"):
        read_history(str(copy))


def test_without_the_file_a_model_is_used_without_the_check(copy, foreign_dir):
    (copy / RUNS_FILE).unlink()
    assert read_history(str(copy)).describe_seen(open_store(foreign_dir)) is None


def test_fill_reads_no_history(copy, capsys):
    (copy / RUNS_FILE).write_text("")
    call(fill.main, "night [MASK]", "--model", copy)
    assert "night" in capsys.readouterr().out


# A hub name. The hub's cache has what the hub would give.


@pytest.fixture
def cached(tmp_path, copy, monkeypatch) -> Path:
    repository = tmp_path / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return shutil.copytree(copy, repository / "snapshots" / "0123")


def test_the_history_of_a_hub_name_is_found(tmp_path, cached, adapted, store_dir):
    assert read_history("someone/tiny").songs.tolist() == read_history(str(adapted)).songs.tolist()
    model = train(train_mlm.main, store_dir, "someone/tiny", tmp_path / "run")
    assert runs(model)[:1] == runs(adapted)


def test_a_hub_name_without_a_history_is_trained(tmp_path, cached, store_dir):
    for name in (RUNS_FILE, SONGS_FILE):
        (cached / name).unlink()
    model = train(train_mlm.main, store_dir, "someone/tiny", tmp_path / "run")
    assert len(runs(model)) == 1


def test_a_hub_name_with_half_a_history_is_refused(cached):
    (cached / SONGS_FILE).unlink()
    with pytest.raises(UserError, match=f"someone/tiny: {RUNS_FILE} or {SONGS_FILE} is missing or damaged"):
        read_history("someone/tiny")


def test_a_hub_that_cannot_be_reached_gives_no_history():
    assert read_history("nobody/nothing").runs == ()
