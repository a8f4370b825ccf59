"""A comparison of several base or adapted models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import call, make_model
from safetensors.numpy import load_file, save

from lyricbert import compare
from lyricbert.errors import UserError
from lyricbert.evaluation.intervals import SideSums, paired_difference
from lyricbert.evaluation.report import TRAINED_FIGURES
from lyricbert.tasks.comparison.results import _digest
from lyricbert.training.loop import Trainer

SMALL = ("--max-songs", 12, "--epochs", 1, "--tokens-per-batch", 512, "--max-length", 64, "--lr", 1e-3)


@pytest.fixture(scope="module")
def others(work, tokenizer) -> list[Path]:
    from transformers import BertForMaskedLM

    return [make_model(work / f"other-{seed}", BertForMaskedLM, tokenizer, seed=seed) for seed in (2, 3, 4)]


@pytest.fixture
def run(store_dir) -> Callable[..., dict]:
    """Compares into the directory `out`. Returns the content of report.json."""

    def compare_into(out: Path, bases: list[Path], adapted: list[Path], *more: object) -> dict:
        sides = [argument for name in bases for argument in ("--base", name)]
        sides += [argument for name in adapted for argument in ("--adapted", name)]
        call(compare.main, "--data", store_dir, *sides, "--out", out, *SMALL, *more)
        return json.loads((out / "report.json").read_text())

    return compare_into


@pytest.fixture(scope="module")
def three(work, store_dir, model_dir, others) -> Path:
    """The directory of a comparison of a base with three adapted models, and three seeds."""
    adapted = [argument for name in others for argument in ("--adapted", name)]
    models = ("--base", model_dir, *adapted)
    call(compare.main, "--data", store_dir, *models, "--out", work / "three", *SMALL, "--seeds", 3)
    return work / "three"


@pytest.fixture
def trainings(monkeypatch) -> list[int]:
    """The seeds of the trainings of a test."""
    seeds, whole = [], Trainer.train
    monkeypatch.setattr(Trainer, "train", lambda self, hooks: (seeds.append(self.config.seed), whole(self, hooks)))
    return seeds


def test_every_model_is_trained_with_every_seed(three, run, model_dir, others, tmp_path):
    names = {path.stem for path in (three / "results").iterdir()}
    models = ("base-1", "adapted-1", "adapted-2", "adapted-3")
    assert names == {f"{model}-{end}" for model in models for end in ("untrained", "seed-0", "seed-1", "seed-2")}
    report = json.loads((three / "report.json").read_text())
    alone = [run(tmp_path / name.name, [model_dir], [name], "--seeds", 3) for name in others]
    for name, row in report["figures"].items():
        assert row["adapted"] == pytest.approx(sum(one["figures"][name]["adapted"] for one in alone) / 3)
        assert row["base"] == alone[0]["figures"][name]["base"]
        assert [model[name] for model in report["by_model"]["adapted"]] == pytest.approx(
            [one["figures"][name]["adapted"] for one in alone]
        )
    for seed, row in enumerate(report["by_seed"]):
        means = [one["by_seed"][seed]["adapted_triplet_loss"] for one in alone]
        assert row["adapted_triplet_loss"] == pytest.approx(sum(means) / 3)
    assert [model["model"] for model in report["by_model"]["adapted"]] == list(map(str, others))


@pytest.mark.parametrize(
    ("figure", "ends"), [("triplet_loss", ("seed-0", "seed-1", "seed-2")), ("mlm_loss", ("untrained",))]
)
def test_the_interval_is_over_the_songs_seeds_and_models_of_the_results(three, figure, ends):
    def side(*models: str) -> SideSums:
        read = [[load_file(three / f"results/{model}-{end}.safetensors") for end in ends] for model in models]
        value = np.array([[arrays[f"{figure}.value"] for arrays in row] for row in read])
        return SideSums(value, read[0][0][f"{figure}.weight"])

    expected = paired_difference(side("base-1"), side("adapted-1", "adapted-2", "adapted-3"))
    assert [factor.name for factor in expected.factors] == ["songs", *["seeds"][: len(ends) - 1], "adapted models"]
    row = json.loads((three / "report.json").read_text())["figures"][figure]
    assert (row["low"], row["high"]) == (expected.low, expected.high)


def test_the_report_says_what_the_verdict_covers(three, run, model_dir, others, tmp_path):
    alone = run(tmp_path / "out", [model_dir], others[:1], "--seeds", 1)
    assert alone["claim"].startswith("The verdict covers these two models, ")
    report = json.loads((three / "report.json").read_text())
    assert "this base and models adapted like these 3," in report["claim"]
    for out, claim in ((tmp_path / "out", alone["claim"]), (three, report["claim"])):
        assert claim in (out / "report.md").read_text()


def test_more_models_use_what_is_there(three, run, model_dir, others, tmp_path, trainings):
    out = tmp_path / "out"
    run(out, [model_dir], others[:1], "--seeds", 3)
    assert len(trainings) == 6
    kept = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    run(out, [model_dir], others, "--seeds", 3)
    assert len(trainings) == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (out / "report.json").read_bytes() == (three / "report.json").read_bytes()
    fewer = run(out, [model_dir], others[:1], "--seeds", 3)
    assert len(trainings) == 12
    assert "these two models" in fewer["claim"]


def test_more_bases_use_what_is_there(three, run, model_dir, others, tmp_path, trainings):
    out = shutil.copytree(three, tmp_path / "out")
    report = run(out, [model_dir, *others[:2]], others, "--seeds", 3)
    assert trainings == [0, 0, 1, 1, 2, 2]
    assert "bases trained like these 3 and models adapted like these 3," in report["claim"]


def refused(run: Callable[..., dict], out: Path, *arguments: object) -> str:
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    with pytest.raises(UserError) as caught:
        run(out, *arguments)
    assert {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()} == before
    return str(caught.value)


def test_another_model_in_the_place_of_one_is_refused(three, run, model_dir, others, tmp_path):
    out = shutil.copytree(three, tmp_path / "out")
    assert "for another --adapted model" in refused(run, out, [model_dir], others[::-1], "--seeds", 3)
    assert "for another --base model" in refused(run, out, others[:1], others, "--seeds", 3)


def test_the_same_model_twice_on_a_side_is_refused(run, model_dir, others, tmp_path):
    copy = shutil.copytree(others[0], tmp_path / "copy")
    said = refused(run, tmp_path / "out", [model_dir], [*others, copy])
    assert said == f"--adapted {copy}: the same model as {others[0]}; give each model once"
    assert not (tmp_path / "out").exists()


def test_two_models_of_a_side_get_no_verdict(run, model_dir, others, tmp_path):
    report = run(tmp_path / "out", [model_dir], others[:2], "--seeds", 3)
    assert {row["verdict"] for row in report["figures"].values()} == {"cannot tell"}
    assert "With two adapted models, the verdict is `cannot tell`. Give one, or at least 3." in report["notes"]


def test_a_shorter_model_is_not_added_to_results_of_longer_sections(three, run, model_dir, others, tokenizer, tmp_path):
    from transformers import BertForMaskedLM

    short = make_model(tmp_path / "short", BertForMaskedLM, tokenizer, seed=6, positions=24)
    out = shutil.copytree(three, tmp_path / "out")
    said = refused(run, out, [model_dir], [*others, short], "--seeds", 3)
    assert "positions, but the shortest model of the command has 24; give another --out" in said


def test_results_with_names_of_another_version_are_refused(three, run, model_dir, others, tmp_path):
    out = shutil.copytree(three, tmp_path / "out")
    path = out / "results" / "base-1-untrained.safetensors"
    arrays = load_file(path)
    path.unlink()
    about = json.dumps({"piece": "base-untrained", "identity": {}, "counts": {}})
    saved = save(arrays, {"about": about, "sha256": _digest(about, arrays)})
    path.with_name("base-untrained.safetensors").write_bytes(saved)
    assert "holds results of another version of lyricbert; give another --out or remove" in refused(
        run, out, [model_dir], others, "--seeds", 3
    )


def test_below_three_seeds_only_figures_without_training_get_a_verdict(run, model_dir, tmp_path):
    report = run(tmp_path / "out", [model_dir], [model_dir], "--seeds", 2)
    verdicts = {name: row["verdict"] for name, row in report["figures"].items()}
    assert verdicts.pop("triplet_loss") == verdicts.pop("triplet_accuracy") == "cannot tell"
    assert set(verdicts.values()) == {"no difference"}
    assert (
        "With fewer than 3 seeds, the verdict after triplet training is `cannot tell`. Raise --seeds."
        in report["notes"]
    )
    assert report["figures"]["triplet_loss"]["power"] is None


def test_the_smallest_difference_changes_the_verdict_without_new_trainings(
    three, run, model_dir, others, tmp_path, trainings
):
    out = shutil.copytree(three, tmp_path / "out")
    before = json.loads((out / "report.json").read_text())["figures"]["mlm_accuracy"]
    assert before["verdict"] != "no difference"
    report = run(out, [model_dir], others, "--seeds", 3, "--smallest-difference", 0.999)
    widest = max(-before["low"], before["high"])
    expected = "no difference" if widest <= 0.999 * before["base"] else before["verdict"]
    assert trainings == []
    assert report["figures"]["triplet_loss"]["verdict"] == "no difference"
    assert report["figures"]["mlm_accuracy"]["verdict"] == expected
    assert report["figures"]["mlm_accuracy"]["low"] == before["low"]


def test_what_cannot_be_told_has_its_power(three):
    rows = json.loads((three / "report.json").read_text())["figures"]
    unclear = {name: row for name, row in rows.items() if row["verdict"] == "cannot tell"}
    assert unclear
    for name, row in unclear.items():
        assert row["power"]["smallest_detectable"] > abs(row["difference"])
        factors = ["songs", *(["seeds"] if name in TRAINED_FIGURES else []), "adapted models"]
        assert list(row["power"]["needed"]) == factors
        assert row["seeds"] == (3 if name in TRAINED_FIGURES else None)
    assert all(row["power"] is None for name, row in rows.items() if name not in unclear)
