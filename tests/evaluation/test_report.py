from typing import Any

import pytest

from lyricbert.evaluation.report import FIGURES, format_report


def made(**changes: Any) -> dict[str, Any]:
    """The content of report.json of a made-up comparison that cannot tell."""
    row = {"base": 0.4, "adapted": 0.41, "difference": 0.01, "low": -0.02, "high": 0.04, "songs": 60}
    trained = {**row, "seeds": 5, "verdict": "cannot tell", "power": {"smallest_detectable": 0.05}}
    trained["power"]["needed"] = {"songs": 900, "seeds": 40}
    untrained = {**row, "seeds": None, "verdict": "helped", "power": None}
    model = dict.fromkeys(FIGURES, 0.5)
    seed = {f"{side}_{name}": 0.3 for side in ("base", "adapted") for name in ("triplet_loss", "triplet_accuracy")}
    report = {
        "verdict": "cannot tell",
        "decided_by": "triplet_loss",
        "claim": "The verdict covers these two models.",
        "figures": {name: dict(trained if name.startswith("triplet") else untrained) for name in FIGURES},
        "warnings": [],
        "by_seed": [{"seed": 3, **seed}],
        "by_model": {"base": [{"model": "b", **model}], "adapted": [{"model": "a", **model}]},
        "counts": {"songs": 50, "all_songs": 1200, "triplets": 8, "all_triplets": 9, "lines": 6, "all_lines": 7},
        "notes": [],
        "config": {"base": ["b"], "adapted": ["a"], "seeds": 5, "smallest_difference": 0.01},
    }
    return report | changes


def test_the_metric_that_decides_and_the_claim_are_named():
    shown = format_report(made())
    assert shown.startswith("# Did adapting help? **cannot tell**\n")
    assert "The triplet loss after triplet training decides the verdict. The verdict covers these two models." in shown
    assert "50 of 1,200 songs" in shown


def test_with_cannot_tell_the_report_says_what_would_be_needed():
    shown = format_report(made())
    assert (
        "60 held-out songs and 5 seeds, this comparison can show a difference of 0.0500 (12.5 % of the base) or more"
        in shown
    )
    assert (
        "observed difference of 0.0100 with that probability, it needs about 900 held-out songs, or about 40 seeds"
        in shown
    )


@pytest.mark.parametrize(
    ("songs", "seeds", "said"),
    [
        (900, None, "it needs about 900 held-out songs, if all else stays the same."),
        (None, 40, "it needs about 40 seeds, if all else stays the same."),
        (None, None, "it needs more songs and more seeds or models: no single factor is enough."),
    ],
)
def test_a_number_that_is_not_enough_alone_is_left_out(songs, seeds, said):
    report = made()
    report["figures"]["triplet_loss"]["power"]["needed"] = {"songs": songs, "seeds": seeds}
    assert said in format_report(report)


def test_a_difference_that_is_too_small_to_matter_needs_nothing():
    report = made()
    report["config"]["smallest_difference"] = 0.03
    shown = format_report(report)
    assert "12.5 % of the base) or more with 80 % probability. The observed difference of 0.0100 is within" in shown
    assert "needs" not in shown


def test_with_a_decided_verdict_nothing_more_is_needed():
    report = made(verdict="helped")
    report["figures"]["triplet_loss"] |= {"verdict": "helped", "power": None}
    assert "probability" not in format_report(report)


def test_warnings_and_notes_are_shown():
    shown = format_report(made(warnings=["Loss and accuracy disagree."], notes=["Raise --seeds."]))
    assert "Warning: Loss and accuracy disagree.\n" in shown
    assert shown.endswith("\nNote: Raise --seeds.\n")


def test_an_interval_that_does_not_exist_is_unknown():
    report = made()
    report["figures"]["mlm_loss"] |= {"low": None, "high": None}
    assert "| MLM loss (lower is better) | 0.4000 | 0.4100 | +0.0100 | unknown | helped |" in format_report(report)


def test_several_models_have_a_table():
    assert "each model" not in format_report(made())
    assert "choice of the models" not in format_report(made())
    report = made()
    report["config"]["adapted"] = ["x", "y"]
    report["figures"]["triplet_loss"]["power"]["needed"]["adapted models"] = 7
    report["by_model"]["adapted"] = [{**report["by_model"]["base"][0], "model": name} for name in ("x", "y")]
    shown = format_report(report)
    assert "Base: `b`. Adapted: `x`, `y`." in shown
    assert shown.count("| adapted: `") == 2
    assert "All intervals also cover the choice of the models of a side that has several. docs/verdict.md" in shown
    assert "With 60 held-out songs, 5 seeds and 2 adapted models, this" in shown
    assert "about 900 held-out songs, or about 40 seeds, or about 7 adapted models, if all else" in shown
    assert "| base: `b` | 0.5000 | 0.5000 | 0.5000 |" in shown
