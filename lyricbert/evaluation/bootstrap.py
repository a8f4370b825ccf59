"""Paired differences of two models with their bootstrap intervals over songs."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
# Over fewer songs the interval is too narrow: of normal differences it holds the mean 90 % of the time with 10 songs,
# 85 % with 5 and 52 % with 2.
FEWEST_SONGS = 10


@dataclass(frozen=True)
class PairedDifference:
    """A figure of two models on the same songs, and its difference (adapted - base) with a 95 % interval."""

    base: float
    adapted: float
    difference: float
    low: float
    high: float
    songs: int

    def verdict(self, lower_is_better: bool) -> str:
        """`helped` or `hurt` if the interval lies on one side of 0 and rests on enough songs, else `cannot tell`."""
        if self.songs < FEWEST_SONGS or self.low <= 0 <= self.high:
            return "cannot tell"
        return "helped" if (self.high < 0) == lower_is_better else "hurt"


def paired_difference(base: np.ndarray, adapted: np.ndarray, weight: np.ndarray, seed: int = 0) -> PairedDifference:
    """Compare ratios of sums: `base.sum() / weight.sum()` and `adapted.sum() / weight.sum()`.

    `base`, `adapted`, `weight`: float64 [songs], each song's sum of the figure under either model, and of its terms.
    Songs are drawn with replacement, both models' sums together (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, percentile interval). `seed` fixes the draws.
    """
    songs = len(weight)
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(RESAMPLES // 500):  # 500 at a time bounds the memory to 500 x songs
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
    """float64 [songs]: the sums of `values` (float64 [N]) over each song that occurs in `song` (int64 [N])."""
    _, inverse = np.unique(song, return_inverse=True)
    return np.bincount(inverse, weights=values)
