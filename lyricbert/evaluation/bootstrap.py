"""Paired differences between two models, with bootstrap confidence intervals over songs."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
# With fewer songs, the 95 % interval is too narrow. For normally distributed differences it contains the mean in 90 %
# of all cases with 10 songs, in 85 % with 5 and in 52 % with 2.
FEWEST_SONGS = 10


@dataclass(frozen=True)
class PairedDifference:
    """A figure of two models on the same songs, and the difference (adapted - base) with its 95 % interval."""

    base: float
    adapted: float
    difference: float
    low: float
    high: float
    songs: int

    def verdict(self, lower_is_better: bool) -> str:
        """`helped` or `hurt` if the interval excludes 0 and there are `FEWEST_SONGS` or more, else `cannot tell`."""
        if self.songs < FEWEST_SONGS or self.low <= 0 <= self.high:
            return "cannot tell"
        return "helped" if (self.high < 0) == lower_is_better else "hurt"


def paired_difference(base: np.ndarray, adapted: np.ndarray, weight: np.ndarray, seed: int = 0) -> PairedDifference:
    """Compare the ratios `base.sum() / weight.sum()` and `adapted.sum() / weight.sum()`.

    `base`, `adapted`: float64 [songs], the sum of the figure over each song. `weight`: float64 [songs], the number of
    its terms. The interval is the percentile interval of `RESAMPLES` bootstrap samples of songs (Efron and Tibshirani,
    "An Introduction to the Bootstrap", 1993). A sample contains the same songs for both models. `seed`: of the samples.
    """
    songs = len(weight)
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(RESAMPLES // 500):  # 500 samples at a time, to save memory
        times = generator.multinomial(songs, np.full(songs, 1 / songs), size=500)
        differences.append((times @ (adapted - base)) / np.maximum(times @ weight, 1e-12))
    low, high = np.percentile(np.concatenate(differences), [2.5, 97.5])
    total = weight.sum()
    return PairedDifference(
        base=float(base.sum() / total),
        adapted=float(adapted.sum() / total),
        difference=float((adapted - base).sum() / total),
        low=float(low),
        high=float(high),
        songs=songs,
    )


def sum_by_song(song: np.ndarray, values: np.ndarray) -> np.ndarray:
    """float64 [songs]: the sum of `values` (float64 [N]) over each song in `song` (int64 [N]), in ascending order."""
    _, inverse = np.unique(song, return_inverse=True)
    return np.bincount(inverse, weights=values)
