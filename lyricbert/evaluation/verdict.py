"""Decides whether adapting helped, and what a comparison that cannot tell would need."""

import math
from typing import Any

from lyricbert.evaluation.intervals import Difference, Factor
from lyricbert.evaluation.student import t_quantile

# With fewer, an interval depends too much on the few there are, and on the form of their distribution.
FEWEST_SONGS = 10
FEWEST_SEEDS = 3
FEWEST_MODELS = 3  # on a side with several models
POWER = 0.8
_MOST_LEVELS = 1_000_000
_DECIDED = {"helped", "hurt"}
_LOSS_AND_ACCURACY = (
    ("triplet_loss", "triplet_accuracy"),
    ("untrained_triplet_loss", "untrained_triplet_accuracy"),
    ("mlm_loss", "mlm_accuracy"),
)


def decide(difference: Difference, lower_is_better: bool, is_trained: bool, smallest: float) -> str:
    """The verdict: `helped`, `hurt`, `no difference` or `cannot tell`.

    `is_trained`: True for a figure after triplet training, which needs several seeds. `smallest`: the smallest
    difference that matters, as a share of the base's value. Within it, the verdict is `no difference`.
    """
    low, high = difference.low, difference.high
    if low is None or high is None or too_few(difference, is_trained):
        return "cannot tell"
    smallest_difference = smallest * abs(difference.base)
    if -smallest_difference <= low and high <= smallest_difference:
        return "no difference"
    if not (low > 0 or high < 0):
        return "cannot tell"
    return "helped" if (high < 0) == lower_is_better else "hurt"


def too_few(difference: Difference, is_trained: bool) -> list[str]:
    """The names of the factors with too few levels for a verdict: "songs", "seeds", "base models", "adapted models"."""
    levels = {factor.name: factor.levels for factor in difference.factors}
    fewest = {"songs": FEWEST_SONGS, "seeds": FEWEST_SEEDS if is_trained else 0}
    few = [name for name, minimum in fewest.items() if levels.get(name, 1) < minimum]
    return few + [name for name in levels if name.endswith("models") and levels[name] < FEWEST_MODELS]


def estimate_power(difference: Difference, smallest: float) -> dict[str, Any]:
    """What a comparison could have shown, and what the observed difference would need, with 80 % power.

    For a difference with enough songs, seeds and models, see `too_few`. `smallest`: see `decide`.

    `smallest_detectable`: the smallest difference that this number of songs, seeds and models shows with this power.
    `needed`: for each factor, about the number of songs, seeds or models with which the observed difference would be
    shown, if all else stays the same. None if no number is enough, or if the observed difference is too small to
    matter: then more levels lead to `no difference`.
    """
    matters = abs(difference.difference) > smallest * abs(difference.base)
    return {
        "smallest_detectable": _detectable(difference.factors),
        "needed": {
            factor.name: _levels_needed(difference, factor) if matters else None for factor in difference.factors
        },
    }


def _detectable(factors: tuple[Factor, ...]) -> float:
    """The margin of the interval, plus the quantile of the power times the standard error."""
    margin = math.hypot(*(factor.margin() for factor in factors))
    error = math.sqrt(sum(factor.variance for factor in factors))
    return margin + t_quantile(POWER, _MOST_LEVELS) * error


def _levels_needed(difference: Difference, factor: Factor) -> int | None:
    """The smallest number of levels of `factor` that shows the observed difference, or None."""
    others = tuple(other for other in difference.factors if other is not factor)

    def is_enough(levels: int) -> bool:
        scaled = Factor(factor.name, levels, factor.variance * factor.levels / levels)
        return _detectable((*others, scaled)) <= abs(difference.difference)

    enough = 2
    while not is_enough(enough):
        enough *= 2
        if enough > _MOST_LEVELS:
            return None
    low = enough // 2
    while enough - low > 1:
        middle = (low + enough) // 2
        low, enough = (low, middle) if is_enough(middle) else (middle, enough)
    return enough


def disagreements(rows: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """The pairs (loss, accuracy) of which one has improved and the other has become worse.

    At least one of the two must be `helped` or `hurt`. `rows`: `figures` of report.json.
    """
    return [
        (loss, accuracy)
        for loss, accuracy in _LOSS_AND_ACCURACY
        if {rows[loss]["verdict"], rows[accuracy]["verdict"]} & _DECIDED
        and rows[loss]["difference"] * rows[accuracy]["difference"] > 0
    ]
