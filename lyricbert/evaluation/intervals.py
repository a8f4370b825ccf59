"""Paired differences between base and adapted models, with confidence intervals over songs, seeds and models.

Songs, seeds and models are crossed: every model is trained with every seed, and every training is evaluated on all
songs. Another sample of songs, other seeds or another adaptation would give another difference. Each of these random
factors has a margin of error, computed with Student's t. With few seeds, that makes the margin of the seeds wide. The
margin of the interval is the square root of the sum of the squared margins. Source: Zou and Donner, "Construction of
confidence limits about effect measures", 2008. benchmarks/coverage.py shows how often the intervals contain the true
difference.
"""

import math
from dataclasses import dataclass

import numpy as np

from lyricbert.evaluation.student import t_quantile

CONFIDENCE = 0.95
# The variance of a few seeds or models is estimated badly. In simulations, subtracting the whole estimate of their
# interaction with songs gave intervals that were too narrow in some cases, and subtracting nothing too wide ones.
_SUBTRACTED = 0.5


@dataclass(frozen=True)
class SongSums:
    """A figure of one model for each song: the sum of its terms and their number, float64 [songs] each."""

    value: np.ndarray
    weight: np.ndarray

    def mean(self) -> float:
        """The mean over the terms of all songs."""
        return float(self.value.sum() / self.weight.sum())


@dataclass(frozen=True)
class SideSums:
    """A figure of all models of one side, "base" or "adapted".

    `value`: float64 [models, seeds, songs], the sum of the terms of a song. `weight`: float64 [songs], their number.
    A figure without training has one seed.
    """

    value: np.ndarray
    weight: np.ndarray

    def mean(self) -> float:
        """The mean over the terms of all songs, seeds and models."""
        return float(self.value.mean(axis=(0, 1)).sum() / self.weight.sum())


@dataclass(frozen=True)
class Factor:
    """A random factor of a difference: "songs", "seeds", "base models" or "adapted models".

    `levels`: the number of songs, seeds or models. `variance`: the part of the difference's variance that comes from
    them. It is inversely proportional to `levels`.
    """

    name: str
    levels: int
    variance: float

    def margin(self) -> float:
        """Half the width of the 95 % interval over this factor alone."""
        return t_quantile((1 + CONFIDENCE) / 2, self.levels - 1) * math.sqrt(self.variance)


@dataclass(frozen=True)
class Difference:
    """A figure of both sides on the same songs, and the difference (adapted - base) with its 95 % interval.

    `low` and `high` are None with one song, which has no interval. `factors`: those with several levels.
    """

    base: float
    adapted: float
    difference: float
    low: float | None
    high: float | None
    songs: int
    factors: tuple[Factor, ...]


def paired_difference(base: SideSums, adapted: SideSums) -> Difference:
    """Compare the means of two sides. Both have the same seeds, songs and weights."""
    weight = base.weight
    change = adapted.value.mean(axis=0) - base.value.mean(axis=0)  # [seeds, songs]
    difference = float(change.mean(axis=0).sum() / weight.sum())
    if len(weight) == 1:
        return Difference(base.mean(), adapted.mean(), difference, None, None, 1, ())
    tables = {
        "seeds": change,
        "base models": base.value.mean(axis=1),
        "adapted models": adapted.value.mean(axis=1),
    }
    factors = [Factor("songs", len(weight), _variance_of_songs(change.mean(axis=0), weight))]
    factors += [
        Factor(name, len(table), _variance_of_rows(table, weight)) for name, table in tables.items() if len(table) > 1
    ]
    margin = math.hypot(*(factor.margin() for factor in factors))
    low, high = difference - margin, difference + margin
    return Difference(base.mean(), adapted.mean(), difference, low, high, len(weight), tuple(factors))


def _variance_of_songs(value: np.ndarray, weight: np.ndarray) -> float:
    """The variance of value.sum() / weight.sum(), both float64 [songs], over samples of songs.

    It is that of the delete-one jackknife (Efron and Stein, "The jackknife estimate of variance", 1981).
    """
    without = (value.sum() - value) / (weight.sum() - weight)  # the mean without each song
    return float((len(value) - 1) * without.var())


def _variance_of_rows(table: np.ndarray, weight: np.ndarray) -> float:
    """The variance of the mean over the rows of `table`, float64 [rows, songs], over samples of rows.

    The interaction of rows and songs is part of the variance of the songs already. So a part of its estimate, from a
    two-way analysis of variance without replication, is subtracted.
    """
    rows, songs = table.shape
    of_rows = table.sum(axis=1, keepdims=True) / weight.sum()
    interaction = table - of_rows * weight
    interaction -= interaction.mean(axis=0)
    of_interaction = (interaction**2).sum() / ((rows - 1) * rows * weight.sum() ** 2) * songs / (songs - 1)
    return max(0.0, float(of_rows.var(ddof=1) / rows - _SUBTRACTED * of_interaction))


def sum_by_song(song: np.ndarray, values: np.ndarray) -> np.ndarray:
    """float64 [songs]: the sum of `values` (float64 [N]) over each song in `song` (int64 [N]), in ascending order."""
    _, inverse = np.unique(song, return_inverse=True)
    return np.bincount(inverse, weights=values)
