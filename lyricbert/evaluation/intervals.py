"""Paired differences between two models, with confidence intervals over songs, training seeds and adaptations.

The method is that of a crossed random effects model. Each random factor (songs, seeds, and the models of a side if
there are several) gets the variance that the delete-one jackknife gives it (Efron and Stein, "The jackknife estimate of
variance", 1981). The sum is the variance of the difference. Its degrees of freedom are those of Satterthwaite ("An
approximate distribution of estimates of variance components", 1946), and the interval is that of Student's t.
benchmarks/coverage.py checks how often the intervals contain the true difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


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


def sum_by_song(song: np.ndarray, values: np.ndarray) -> np.ndarray:
    """float64 [songs]: the sum of `values` (float64 [N]) over each song in `song` (int64 [N]), in ascending order."""
    _, inverse = np.unique(song, return_inverse=True)
    return np.bincount(inverse, weights=values)
