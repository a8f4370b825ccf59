"""The length-sorted bucketing sampler. It decides which examples are in which micro-batch of which global step.

A global step has `global_micro_batches` micro-batches. The examples of step n depend only on the seed and n, not on the
number of ranks. Rank r of W takes every W-th micro-batch. A shuffled order is not stored: each index is computed when
it is needed. So planning an epoch is cheap, and a run can start at any step immediately.
"""

from abc import ABC, abstractmethod

import numpy as np

from lyricbert.batches.examples import CHUNK
from lyricbert.batches.plan import make_plan
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, permute


class Sampler(ABC):
    """The micro-batches of every step. All ranks have the same number of micro-batches.

    `version`: checkpoints record it. Raise it whenever the same settings give different batches than before. Then old
    checkpoints are refused instead of resumed with different batches. Before version 2, checkpoints had no such number.
    """

    version: int
    global_micro_batches: int

    @abstractmethod
    def steps(self, epochs: int) -> int:
        """The number of steps in the first `epochs` epochs."""

    @abstractmethod
    def epoch_of(self, step: int) -> int:
        """The epoch that global step `step` (from 0) belongs to."""

    @abstractmethod
    def micro_batches(self, step: int, rank: int = 0, world_size: int = 1) -> list[np.ndarray]:
        """The example indices, int64 arrays, of the micro-batches of `rank` in global step `step` (from 0)."""

    @abstractmethod
    def largest(self) -> list[np.ndarray]:
        """The example indices of the micro-batches that need the most memory, as in `micro_batches`."""


class EqualEpochSampler(Sampler):
    """A sampler with the same number of micro-batches in each epoch, which are shuffled.

    A micro-batch is an int64 array [rows, examples per row], padded with -1.
    """

    version = 3

    def __init__(self, batches: int, global_micro_batches: int, seed: int):
        self.global_micro_batches = global_micro_batches
        self.steps_per_epoch = batches // global_micro_batches
        self._seed = seed

    def steps(self, epochs: int) -> int:
        return epochs * self.steps_per_epoch

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def micro_batches(self, step: int, rank: int = 0, world_size: int = 1) -> list[np.ndarray]:
        epoch, first = self.epoch_of(step), (step % self.steps_per_epoch) * self.global_micro_batches
        places = np.arange(first + rank, first + self.global_micro_batches, world_size)
        count = self.steps_per_epoch * self.global_micro_batches
        return [self._batch(epoch, int(n)) for n in permute(derive_key("batches", self._seed, epoch), count, places)]

    @abstractmethod
    def _batch(self, epoch: int, number: int) -> np.ndarray:
        """Batch `number` of an epoch, before the batches are shuffled."""


class LengthOrder:
    """Examples sorted by length. Examples of equal length are shuffled in each epoch.

    `lengths`: integers [E]. `counts`: int64 [longest + 1], number of examples of each length.
    """

    def __init__(self, lengths: np.ndarray, seed: int):
        self._seed = seed
        self.counts = _count(lengths)
        self._starts = np.cumsum(self.counts) - self.counts
        self._examples = _sort_by_length(lengths, self._starts)

    def length_at(self, places: np.ndarray) -> np.ndarray:
        """The length of the examples at `places` of the order: int64, in the shape of `places`."""
        return np.searchsorted(self._starts + self.counts, places, side="right")

    def start_of(self, length: int) -> int:
        """The place of the first example of `length`."""
        return int(self._starts[length])

    def at(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """The indices of the examples at `places` (int64) of the order of `epoch`: int64, in the shape of `places`."""
        length = self.length_at(places)
        start = self._starts[length]
        key = derive_key("order", self._seed, epoch)
        shuffled = permute(key + length, self.counts[length], places - start)
        examples: np.ndarray = self._examples[start + shuffled]
        return examples.astype(np.int64)


class LengthBucketSampler(EqualEpochSampler):
    """Batches of examples of similar length, one example per row, with a maximum number of tokens, padding included.

    In every epoch, each example is in exactly one batch. Examples are shuffled within each length, sorted by length and
    cut into batches. Then the batches are shuffled. No row is empty.

    There are fewer than `MOST_SHAPES` different (rows, width), because memory on a CPU grows with every new one.
    `shapes`: the widths, and the rows of a full batch of each width. An evaluation in these shapes adds no new ones.

    `lengths`: integers [E], number of tokens of each example. `tokens_per_batch`: maximum of rows x width of a batch.
    Raises `UserError` if an example has more tokens, or if there are too few examples for a step.
    """

    def __init__(self, lengths: np.ndarray, tokens_per_batch: int, global_micro_batches: int, seed: int):
        check_budget(lengths, tokens_per_batch, global_micro_batches)
        self._order = LengthOrder(lengths, seed)
        self._plan = make_plan(self._order.counts, tokens_per_batch, global_micro_batches)
        self.shapes = self._plan.shapes
        self._last_batches = np.cumsum(self._plan.batches)
        self._occurring = self._plan.occurring()
        self._first_places = np.cumsum(self._plan.examples) - self._plan.examples
        super().__init__(int(self._last_batches[-1]), global_micro_batches, seed)

    def width(self, rows: int, longest: int) -> int:
        """The padded width of a micro-batch with `rows` rows, of which the longest has `longest` tokens.

        It is `longest` if this sampler has no such micro-batch.
        """
        widths = (width for of_rows, width in self._occurring if of_rows == rows and width >= longest)
        return min(widths, default=longest)

    def largest(self) -> list[np.ndarray]:
        width, most_rows = self.shapes.widths, self._plan.most_rows()
        # Memory grows with the number of tokens and, in attention, also with the width. It also grows with the number
        # of masked positions. Every row has at least one, so the batch with the most rows can have the most.
        groups = dict.fromkeys([int(np.argmax(most_rows * width * (1024 + width))), int(np.argmax(most_rows))])
        return [self._batch(0, int(self._last_batches[group]) - 1) for group in groups]

    def _batch(self, epoch: int, number: int) -> np.ndarray:
        group = int(np.searchsorted(self._last_batches, number, side="right"))
        batches, examples = int(self._plan.batches[group]), int(self._plan.examples[group])
        nth = number - (int(self._last_batches[group]) - batches)
        first = int(self._first_places[group])
        places = np.arange(first + nth * examples // batches, first + (nth + 1) * examples // batches)
        return self._order.at(epoch, places).reshape(-1, 1)


def resolve_micro_batches(asked: int | None, processes: int, fewest: int) -> int:
    """Return the micro-batches of a step: `asked`, or the smallest multiple of `processes` that is at least `fewest`.

    Raises `UserError` if `processes` does not divide `asked`.
    """
    if asked is None:
        return -(-fewest // processes) * processes
    if asked % processes:
        raise UserError(f"--global-micro-batches {asked}: must be a multiple of the number of processes, {processes}")
    return asked


def check_budget(lengths: np.ndarray, tokens_per_batch: int, global_micro_batches: int) -> None:
    """Raise `UserError` if an example has more than `tokens_per_batch` tokens or a step has too few examples."""
    if len(lengths) < global_micro_batches:
        raise UserError(
            f"{len(lengths)} training examples are too few for {global_micro_batches} micro-batches per step;"
            " lower --global-micro-batches or add songs"
        )
    if lengths.max() > tokens_per_batch:
        raise UserError(
            f"--tokens-per-batch {tokens_per_batch}: the longest example alone needs {lengths.max()}; raise it"
        )


def _count(lengths: np.ndarray) -> np.ndarray:
    """int64 [longest + 1]: the number of examples of each length."""
    counts = np.zeros(int(lengths.max()) + 1, np.int64)
    for begin in range(0, len(lengths), CHUNK):
        counts += np.bincount(lengths[begin : begin + CHUNK], minlength=len(counts))
    return counts


def _sort_by_length(lengths: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Example indices sorted by length, int32 [E] if they fit, else int64. Length k begins at `starts[k]`.

    It is a counting sort in chunks, so that it needs little more memory than its result.
    """
    result = np.empty(len(lengths), dtype=np.int32 if len(lengths) < 2**31 else np.int64)
    free = starts.copy()
    for begin in range(0, len(lengths), CHUNK):
        chunk = np.asarray(lengths[begin : begin + CHUNK]).astype(np.min_scalar_type(len(starts)))
        order = np.argsort(chunk, kind="stable")
        counts = np.bincount(chunk, minlength=len(starts))
        before = np.cumsum(counts) - counts
        for length in np.flatnonzero(counts):
            run = order[before[length] : before[length] + counts[length]]
            result[free[length] : free[length] + len(run)] = run + begin
        free += counts
    return result
