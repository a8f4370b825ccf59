"""Count what is in each split of a store."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class SplitCounts:
    """Counts of one split, added up block by block. Lengths are in tokens, special tokens not included."""

    songs: int = 0
    sections: int = 0
    lines: int = 0
    tokens: int = 0
    # How many of the different lines have 0, 1, 2, ... tokens.
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    def add_lengths(self, lengths: np.ndarray) -> None:
        """Count different lines of these lengths."""
        counts = np.bincount(lengths, minlength=len(self.histogram))
        counts[: len(self.histogram)] += self.histogram
        self.histogram = counts

    def as_dict(self) -> dict[str, float]:
        """The counts, and statistics of the lengths of different lines. There must be at least one line."""
        unique = int(self.histogram.sum())
        return {
            "songs": self.songs,
            "sections": self.sections,
            "lines": self.lines,
            "unique_lines": unique,
            "tokens": self.tokens,
            "mean_length": round(float(self.histogram @ np.arange(len(self.histogram)) / unique), 2),
            "median_length": self._quantile(0.5),
            "p95_length": self._quantile(0.95),
            "max_length": int(np.flatnonzero(self.histogram)[-1]),
        }

    def _quantile(self, share: float) -> float:
        """The quantile of the lengths, interpolated linearly as by `np.quantile`."""
        ends = np.cumsum(self.histogram)
        position = share * (ends[-1] - 1)
        below, above = np.searchsorted(ends, [np.floor(position), np.ceil(position)], side="right")
        return round(float(below + (above - below) * (position - np.floor(position))), 2)
