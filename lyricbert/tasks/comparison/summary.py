"""Puts the results of all pieces together: the content of report.json."""

import dataclasses
from typing import Any

import numpy as np

from lyricbert.config import to_json
from lyricbert.evaluation.intervals import Difference, SideSums, paired_difference
from lyricbert.evaluation.report import DECISIVE, FIGURES, MLM_FIGURES, TRAINED_FIGURES
from lyricbert.evaluation.verdict import (
    FEWEST_MODELS,
    FEWEST_SEEDS,
    FEWEST_SONGS,
    decide,
    disagreements,
    estimate_power,
    too_few,
)
from lyricbert.tasks.comparison.identity import Identity
from lyricbert.tasks.comparison.pieces import SIDES, Piece, seeds
from lyricbert.tasks.comparison.results import Result
from lyricbert.tasks.config import CompareConfig

_HEADLESS = (
    "The {side} model {name} has no MLM head. Its MLM and fill-in figures are those of a fresh, untrained head and say"
    " nothing about its encoder. So their verdict is `cannot tell`."
)
_TOO_FEW = {
    "songs": f"With fewer than {FEWEST_SONGS} held-out songs, the verdict is `cannot tell`. Prepare with a larger"
    " --val-fraction, or more songs.",
    "seeds": f"With fewer than {FEWEST_SEEDS} seeds, the verdict after triplet training is `cannot tell`."
    " Raise --seeds.",
    "base models": f"With two base models, the verdict is `cannot tell`. Give one, or at least {FEWEST_MODELS}.",
    "adapted models": f"With two adapted models, the verdict is `cannot tell`. Give one, or at least {FEWEST_MODELS}.",
}
_TOO_LONG = "Sections whose first line is longer than --max-length tokens are left out: {too_long:,} sections."

Results = dict[Piece, Result]


def make_report(config: CompareConfig, identity: Identity, results: Results) -> dict[str, Any]:
    """The content of report.json. `results`: those of all pieces."""
    differences = {
        name: paired_difference(_side(config, results, "base", name), _side(config, results, "adapted", name))
        for name in FIGURES
    }
    headless = [
        (side, name)
        for side, names in config.models.items()
        for model, name in enumerate(names)
        if not results[Piece(side, model)].counts["has_head"]
    ]
    rows = {
        name: _row(name, difference, config, is_comparable=not (headless and name in MLM_FIGURES))
        for name, difference in differences.items()
    }
    counts = {name: count for name, count in results[Piece("base", 0)].counts.items() if name != "has_head"}
    few = dict.fromkeys(
        factor for name, difference in differences.items() for factor in too_few(difference, name in TRAINED_FIGURES)
    )
    notes = [_HEADLESS.format(side=side, name=name) for side, name in headless]
    notes += [_TOO_FEW[factor] for factor in few]
    notes += [_TOO_LONG.format(**counts)] if counts["too_long"] else []
    settings = {name: value for name, value in to_json(config).items() if name != "out"}
    return {
        "verdict": rows[DECISIVE]["verdict"],
        "decided_by": DECISIVE,
        "claim": _claim(config),
        "figures": rows,
        "warnings": [
            f"Loss and accuracy disagree: the {FIGURES[loss][0]} and the {FIGURES[accuracy][0]} point in opposite"
            " directions. Look at both before you rely on the verdict."
            for loss, accuracy in disagreements(rows)
        ],
        "by_seed": [{"seed": seed, **_means_of_seed(config, results, seed)} for seed in seeds(config)],
        "by_model": {
            side: [
                {"model": name, **_means_of_model(config, results, side, model)}
                for model, name in enumerate(config.models[side])
            ]
            for side in SIDES
        },
        "counts": counts,
        "notes": notes,
        "config": {**settings, "precision": identity.shared["precision"], "store": identity.shared["data"]},
        "models": identity.models,
    }


def _row(name: str, difference: Difference, config: CompareConfig, is_comparable: bool) -> dict[str, Any]:
    is_trained = name in TRAINED_FIGURES
    verdict = "cannot tell"
    if is_comparable:
        verdict = decide(difference, FIGURES[name][1], is_trained, config.smallest_difference)
    has_power = is_comparable and verdict == "cannot tell" and not too_few(difference, is_trained)
    values = {key: value for key, value in dataclasses.asdict(difference).items() if key != "factors"}
    return {
        **values,
        "seeds": config.seeds if is_trained else None,
        "verdict": verdict,
        "power": estimate_power(difference, config.smallest_difference) if has_power else None,
    }


def _claim(config: CompareConfig) -> str:
    """What the verdict covers."""
    bases, adapted = (len(config.models[side]) for side in SIDES)
    if bases == adapted == 1:
        return "The verdict covers these two models, with any training seed. Another adaptation of the base may differ."
    of_base = "this base" if bases == 1 else f"bases trained like these {bases}"
    of_adapted = "this adapted model" if adapted == 1 else f"models adapted like these {adapted}"
    return f"The verdict covers {of_base} and {of_adapted}, with any training seed."


def _side(config: CompareConfig, results: Results, side: str, figure: str) -> SideSums:
    of_seeds = seeds(config) if figure in TRAINED_FIGURES else [None]
    sums = [
        [results[Piece(side, model, seed)].figures[figure] for seed in of_seeds]
        for model in range(len(config.models[side]))
    ]
    return SideSums(np.array([[of.value for of in row] for row in sums]), sums[0][0].weight)


def _means_of_seed(config: CompareConfig, results: Results, seed: int) -> dict[str, float]:
    return {
        f"{side}_{name}": float(
            np.mean([results[Piece(side, model, seed)].figures[name].mean() for model in range(len(names))])
        )
        for side, names in config.models.items()
        for name in TRAINED_FIGURES
    }


def _means_of_model(config: CompareConfig, results: Results, side: str, model: int) -> dict[str, float]:
    means = {}
    for name in FIGURES:
        of = _side(config, results, side, name)
        means[name] = SideSums(of.value[model : model + 1], of.weight).mean()
    return means
