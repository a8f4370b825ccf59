"""Plan the batches of an epoch: which widths there are, and how many batches of each.

On a CPU, memory grows with every new (rows, width), so a plan has few of them.
"""

import math
from dataclasses import dataclass

import numpy as np

from lyricbert.batches.shapes import MOST_SHAPES, Shapes, choose_widths
from lyricbert.errors import UserError

# A plan may have so many times the padded tokens of the best plan, if it has fewer shapes: they save memory on a CPU.
_MOST_MORE_TOKENS = 1.005


@dataclass(frozen=True)
class Plan:
    """The batches of an epoch, for each of K widths.

    `examples`, `batches`: int64 [K], number of examples and batches of each width. The examples are spread evenly over
    the batches. So the batches of a width have at most two different numbers of rows, which differ by one.
    """

    shapes: Shapes
    examples: np.ndarray
    batches: np.ndarray

    def padded_tokens(self) -> int:
        """Number of tokens in an epoch, padding included."""
        return int(self.examples @ self.shapes.widths)

    def most_rows(self) -> np.ndarray:
        """int64 [K]: the maximum number of rows in a batch of each width; 0 for a width without batches."""
        rows: np.ndarray = -(-self.examples // np.maximum(self.batches, 1))
        return rows

    def occurring(self) -> set[tuple[int, int]]:
        """All (rows, width) of an epoch."""
        fewest_rows = self.examples // np.maximum(self.batches, 1)
        shapes = {*_pairs(fewest_rows, self.shapes.widths), *_pairs(self.most_rows(), self.shapes.widths)}
        return {(rows, width) for rows, width in shapes if rows}

    def with_evaluation(self) -> set[tuple[int, int]]:
        """All (rows, width) of an epoch and of an evaluation in `shapes`."""
        return self.occurring() | set(_pairs(self.shapes.rows, self.shapes.widths))


def _pairs(rows: np.ndarray, widths: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(rows.tolist(), widths.tolist(), strict=True))


def make_plan(counts: np.ndarray, budget: int, multiple: int) -> Plan:
    """The plan with the fewest widths whose padding is hardly more than the least that is possible.

    The more widths, the less padding. Plans have fewer than `MOST_SHAPES` shapes. `counts`: int64 [longest + 1], number
    of examples of each length. A width adds at most three shapes: two numbers of rows in training, and a full batch in
    evaluation. So `MOST_SHAPES // 3` widths are always few enough. One shape is reserved for held-out examples that are
    longer than all training examples. Raises `UserError` if the batches of no plan can be split into whole steps of
    `multiple` micro-batches.
    """
    chosen: Plan | None = None
    most_tokens = math.inf
    for widths in reversed(choose_widths(counts, MOST_SHAPES - 1)):
        shapes = Shapes.of_budget(widths, budget)
        before = np.concatenate([[0], np.cumsum(counts)[widths]])
        examples, batches = _fill(np.diff(before), shapes.rows)
        split_batches = _add_batches(examples, batches, -int(batches.sum()) % multiple)
        if split_batches is None:
            continue
        plan = Plan(shapes, examples, split_batches)
        if plan.padded_tokens() > most_tokens:
            break
        if len(plan.with_evaluation()) < MOST_SHAPES:
            if chosen is None:
                most_tokens = plan.padded_tokens() * _MOST_MORE_TOKENS
            chosen = plan
    if chosen is None:
        raise UserError(
            f"{counts.sum()} batches of one example cannot be split into steps of {multiple} micro-batches;"
            " raise --tokens-per-batch or lower --global-micro-batches"
        )
    return chosen


def _fill(counts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(examples, batches), int64 [K] each: how many of each width there are if all batches are full.

    `counts`: int64 [K], number of examples that need each width. `rows`: int64 [K], rows of a full batch. Examples that
    do not fill a batch move to the next width. At the last width they form one more batch.
    """
    batches, left_over = np.zeros_like(counts), 0
    for k, count in enumerate(counts.tolist()):
        batches[k], left_over = divmod(left_over + count, int(rows[k]))
    examples = batches * rows
    examples[-1] += left_over
    batches[-1] += left_over > 0
    return examples, batches


def _add_batches(examples: np.ndarray, batches: np.ndarray, missing: int) -> np.ndarray | None:
    """Split the batches of the widths with the most batches until there are `missing` more. Returns int64 [K].

    Returns None if every batch has one example and more are needed.
    """
    batches = batches.copy()
    while missing:
        room = np.minimum(batches, examples - batches)  # at most twice as many, which halves the rows
        if not room.any():
            return None
        for k in np.argsort(-room, kind="stable"):
            added = min(missing, int(room[k]))
            batches[k] += added
            missing -= added
    return batches
