import json

import pytest
from conftest import call

import train_mlm
from lyricbert import compare
from lyricbert.evaluation.report import FIGURES

SMALL = ("--seeds", 3, "--max-songs", 12, "--epochs", 1, "--tokens-per-batch", 512, "--max-length", 64, "--lr", 1e-3)


@pytest.fixture(scope="module")
def adapted_dir(work, store_dir, model_dir):
    call(
        train_mlm.main,
        *("--data", store_dir, "--model", model_dir, "--out", work / "adapted", "--max-steps", 80),
        *("--tokens-per-batch", 256, "--lr", 3e-3),
    )
    return work / "adapted" / "model"


def report_of(base, adapted, store_dir, out, *more):
    call(compare.main, "--data", store_dir, "--base", base, "--adapted", adapted, "--out", out, *SMALL, *more)
    return json.loads((out / "report.json").read_text())


def test_a_model_against_itself_is_no_difference(tmp_path, store_dir, model_dir):
    report = report_of(model_dir, model_dir, store_dir, tmp_path / "out")
    assert report["verdict"] == "no difference"
    for name in FIGURES:
        row = report["figures"][name]
        assert row["verdict"] == "no difference"
        assert row["base"] == row["adapted"]
        assert (row["difference"], row["low"], row["high"]) == (0, 0, 0)


def test_an_adapted_model_helps_and_the_reverse_comparison_hurts(tmp_path, store_dir, model_dir, adapted_dir):
    report = report_of(model_dir, adapted_dir, store_dir, tmp_path / "out")
    assert set(report["figures"]) == set(FIGURES)
    assert report["figures"]["mlm_loss"]["verdict"] == "helped"
    assert report["figures"]["mlm_loss"]["high"] < 0
    assert report["verdict"] == report["figures"]["triplet_loss"]["verdict"]
    turned = report_of(adapted_dir, model_dir, store_dir, tmp_path / "turned")
    assert turned["figures"]["mlm_loss"]["verdict"] == "hurt"
    assert turned["figures"]["mlm_loss"]["base"] == report["figures"]["mlm_loss"]["adapted"]
    assert turned["figures"]["triplet_loss"]["difference"] == pytest.approx(
        -report["figures"]["triplet_loss"]["difference"]
    )
    means = [row["base_triplet_loss"] for row in report["by_seed"]]
    assert len(set(means)) == 3
    assert report["figures"]["triplet_loss"]["base"] == pytest.approx(sum(means) / 3)
    for row in report["figures"].values():
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["songs"] >= 10


def test_the_report_shows_every_figure(tmp_path, store_dir, encoder_dir, model_dir):
    report = report_of(encoder_dir, model_dir, store_dir, tmp_path / "out")
    shown = (tmp_path / "out" / "report.md").read_text()
    assert f"**{report['verdict']}**" in shown
    for name, (what, _) in FIGURES.items():
        row = report["figures"][name]
        assert f"| {what} (" in shown
        assert f"{row['low']:+.4f} to {row['high']:+.4f}" in shown
    assert f"The base model {encoder_dir} has no MLM head" in shown
    assert report["figures"]["mlm_loss"]["verdict"] == "cannot tell"  # the head of the base model is random
