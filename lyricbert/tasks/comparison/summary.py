"""Puts the results of all pieces together: the content of report.json."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lyricbert.config import to_json
from lyricbert.evaluation.bootstrap import FEWEST_SONGS, SongSums, paired_differences
from lyricbert.evaluation.report import DECISIVE, FIGURES, MLM_FIGURES
from lyricbert.tasks.comparison.pieces import SIDES, Piece, seeds
from lyricbert.tasks.comparison.results import Result
from lyricbert.tasks.config import CompareConfig

_HEADLESS = (
    "The {side} model has no MLM head. Its MLM and fill-in figures are those of a fresh, untrained head and say nothing"
    " about its encoder. So they get no verdict."
)
_FEW_SONGS = (
    f"An interval over fewer than {FEWEST_SONGS} held-out songs is too narrow to be trusted, so no verdict is drawn"
    " from one. Prepare with a larger --val-fraction, or more songs."
)
_TOO_LONG = "Sections whose first line is longer than --max-length tokens are left out: {too_long:,} sections."


def make_report(config: CompareConfig, identity: dict[str, Any], results: dict[Piece, Result]) -> dict[str, Any]:
    """The content of report.json. `identity`: of the comparison. `results`: those of all its pieces."""
    untrained = {side: results[Piece(side)] for side in SIDES}
    trained = {side: [results[Piece(side, seed)].figures for seed in seeds(config)] for side in SIDES}
    headless = [side for side in SIDES if not untrained[side].counts["has_head"]]
    base, adapted = (untrained[side].figures | _mean_over_seeds(trained[side]) for side in SIDES)
    paired = paired_differences(base, adapted)
    rows = {}
    for name, (_, lower_is_better) in FIGURES.items():
        comparable = not (headless and name in MLM_FIGURES)
        verdict = paired[name].verdict(lower_is_better) if comparable else "cannot tell"
        rows[name] = {**dataclasses.asdict(paired[name]), "verdict": verdict}
    counts = {name: count for name, count in untrained["base"].counts.items() if name != "has_head"}
    notes = [_HEADLESS.format(side=side) for side in headless]
    notes += [_FEW_SONGS] if any(row["songs"] < FEWEST_SONGS for row in rows.values()) else []
    notes += [_TOO_LONG.format(**counts)] if counts["too_long"] else []
    settings = {name: value for name, value in to_json(config).items() if name != "out"}
    return {
        "verdict": rows[DECISIVE]["verdict"],
        "decided_by": DECISIVE,
        "figures": rows,
        "by_seed": [_by_seed(seed, {side: results[Piece(side, seed)] for side in SIDES}) for seed in seeds(config)],
        "counts": counts,
        "notes": notes,
        "config": {**settings, "precision": identity["precision"], "store": identity["data"]},
        "models": {side: identity[side] for side in SIDES},
    }


def _mean_over_seeds(runs: Sequence[dict[str, SongSums]]) -> dict[str, SongSums]:
    return {
        name: SongSums(np.mean([run[name].value for run in runs], axis=0), runs[0][name].weight) for name in runs[0]
    }


def _by_seed(seed: int, trained: dict[str, Result]) -> dict[str, float]:
    means = {f"{side}_{name}": sums.mean() for side, result in trained.items() for name, sums in result.figures.items()}
    return {"seed": seed, **means}
