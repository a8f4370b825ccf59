"""Limits the shapes of batches, because each new shape needs memory.

On a CPU, oneDNN compiles a program for every shape of matrix product and keeps it. So memory grows with every new
(rows, width) and every new number of targets. Both are therefore chosen from short lists before the first step.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Maximum number of different (rows, width) in an epoch and its evaluations.
MOST_SHAPES = 64
# Maximum number of different numbers of targets.
MOST_TARGET_COUNTS = 32
# The logits are by far the largest tensors. With few sizes, a new tensor can reuse the memory of a freed one.
_EVEN_STEPS, _LARGER_STEPS = 8, 12


@dataclass(frozen=True)
class Shapes:
    """A list of widths with the rows of a full batch of each width.

    `widths`: int64 [K], ascending. `rows`: int64 [K].
    """

    widths: np.ndarray
    rows: np.ndarray

    @staticmethod
    def of_budget(widths: np.ndarray, budget: int) -> "Shapes":
        """For each width, as many rows as fit into `budget` tokens, but at least one."""
        return Shapes(widths, np.maximum(1, budget // widths))

    def covering(self, longest: int, budget: int) -> "Shapes":
        """These shapes, with one more if `longest` tokens are wider than all of them."""
        if longest <= self.widths[-1]:
            return self
        more = Shapes.of_budget(np.array([longest]), budget)
        return Shapes(np.append(self.widths, more.widths), np.append(self.rows, more.rows))


def choose_widths(counts: np.ndarray, most: int) -> list[np.ndarray]:
    """For each K from 1 to `most`, the K widths that need the fewest padded tokens: int64 [K], ascending.

    `counts`: int64 [longest + 1], the number of examples of each length. Each example is padded to the next width.
    There are at most as many widths as different lengths. It is dynamic programming over the lengths, in
    O(K * lengths ** 2).
    """
    lengths = np.flatnonzero(counts)
    before = np.concatenate([[0], np.cumsum(counts[lengths])])  # number of examples that are shorter
    tokens = np.full(len(lengths) + 1, np.inf)  # fewest padded tokens for the first n lengths
    tokens[0] = 0
    splits, choices = [], []
    for _ in range(min(most, len(lengths))):
        split, fewest = np.zeros(len(lengths) + 1, np.int64), np.zeros(len(lengths) + 1)
        for n in range(1, len(lengths) + 1):
            candidates = tokens[:n] + (before[n] - before[:n]) * lengths[n - 1]
            split[n] = candidates.argmin()
            fewest[n] = candidates[split[n]]
        tokens = fewest
        splits.append(split)
        choices.append(lengths[_follow(splits)])
    return choices


def shapes_of(lengths: np.ndarray, budget: int, most: int = MOST_SHAPES) -> Shapes:
    """At most `most` shapes for examples of these lengths, integers [E], with the fewest padded tokens."""
    return Shapes.of_budget(choose_widths(np.bincount(lengths), most)[-1], budget)


def _follow(splits: list[np.ndarray]) -> np.ndarray:
    """int64 [K], ascending: the index of each chosen length. `splits`: of every round of `choose_widths`."""
    places, n = [], len(splits[0]) - 1
    for split in reversed(splits):
        if n:
            places.append(n - 1)
            n = split[n]
    return np.array(places[::-1])


def cut(lengths: np.ndarray, shapes: Shapes) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Cut examples into batches of exactly these shapes. Yields (example indices int64 [R], (rows, width)), R <= rows.

    `lengths`: integers [E], none above the largest width. Examples that do not fill a batch of one width move to the
    next width. Only the last batch can have fewer examples than rows.
    """
    order = np.argsort(lengths, kind="stable")
    begin = 0
    for width, rows in zip(shapes.widths.tolist(), shapes.rows.tolist(), strict=True):
        fitting = int(np.searchsorted(lengths[order], width, side="right"))
        while fitting - begin >= rows or begin < fitting == len(order):
            yield order[begin : begin + rows], (rows, width)
            begin = min(begin + rows, len(order))


def target_counts(most: int, rate: float) -> np.ndarray:
    """The allowed numbers of targets: int64, ascending, fewer than `MOST_TARGET_COUNTS`. The last one is `most`.

    `most`: maximum number of tokens in a batch. `rate`: share of them to predict. Up to the usual number,
    `rate * most`, the numbers have equal differences, and above it equal ratios. A batch of very short examples has
    more targets than usual, because each example has at least one.
    """
    step = max(1, -(-round(rate * most) // _EVEN_STEPS))
    usual = step * np.arange(1, _EVEN_STEPS + 1)
    larger = np.ceil(np.geomspace(usual[-1], max(most, usual[-1]), _LARGER_STEPS)).astype(np.int64)
    counts = np.unique(np.concatenate([usual, larger]))
    return np.append(counts[counts < most], most)
