"""Arithmetic on groups of neighbouring values: the lines of sections, the sections of songs."""

import numpy as np


def group_starts(lengths: np.ndarray) -> np.ndarray:
    """int64 [groups]: where each group begins, if groups of these lengths lie one after the other."""
    starts: np.ndarray = np.cumsum(lengths, dtype=np.int64) - lengths
    return starts


def group_sums(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 [groups]: the sum of the values of each group. The sum of an empty group is 0."""
    ends = np.cumsum(lengths, dtype=np.int64)
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    difference: np.ndarray = sums[ends] - sums[ends - lengths]
    return difference
