"""Arithmetic on groups of neighbouring values: the lines of sections, the sections of songs."""

import numpy as np

from lyricbert.hashing import hash64


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


def take_groups(values: np.ndarray, lengths: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The values of some groups, one group after the other. `groups`: their numbers, int64; a group may repeat."""
    counts = lengths[groups]
    shift = group_starts(lengths)[groups] - group_starts(counts)
    taken: np.ndarray = values[np.arange(int(counts.sum())) + np.repeat(shift, counts)]
    return taken


def positions_in_groups(lengths: np.ndarray) -> np.ndarray:
    """int64 [sum of lengths]: the position of each value in its group, from 0."""
    starts = group_starts(lengths)
    positions: np.ndarray = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    return positions


def sequence_keys(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 [groups]: a 64-bit key of the values of each group. Their order matters.

    `values`: int64 or unsigned integers. An empty group has the key 0.
    """
    return group_sums(hash64(values.astype(np.int64, copy=False), positions_in_groups(lengths)), lengths)
