"""The length-sorted bucketing sampler: which examples are in which micro-batch of which global step.

A global step is `global_micro_batches` micro-batches. Which examples are in step n depends on the seed and n alone,
never on the number of ranks: rank r of W takes every W-th micro-batch. Orders are computed where they are looked at,
not drawn and kept, so an epoch costs nothing to plan and a run starts at any step at once.
"""

from abc import ABC, abstractmethod

import numpy as np

from lyricbert.batches.examples import CHUNK
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, permute

# Of a step, unless the command says otherwise: 1, 2 and 4 processes then train the same steps.
_FEWEST_MICRO_BATCHES = 4


class Sampler(ABC):
    """Micro-batches of every step, shuffled anew for every epoch. Every rank always has the same number of them."""

    def __init__(self, batches: int, global_micro_batches: int, seed: int):
        self.global_micro_batches = global_micro_batches
        self.steps_per_epoch = batches // global_micro_batches
        self._seed = seed

    def epoch_of(self, step: int) -> int:
        """The epoch that global step `step` (from 0) belongs to."""
        return step // self.steps_per_epoch

    def micro_batches(self, step: int, rank: int = 0, world_size: int = 1) -> list[np.ndarray]:
        """The example indices of the micro-batches of `rank` in global step `step`, from 0.

        One array a micro-batch: int64 [rows, examples of a row], -1 where a row has fewer.
        """
        epoch, first = self.epoch_of(step), (step % self.steps_per_epoch) * self.global_micro_batches
        places = np.arange(first + rank, first + self.global_micro_batches, world_size)
        count = self.steps_per_epoch * self.global_micro_batches
        return [self._batch(epoch, int(n)) for n in permute(derive_key("batches", self._seed, epoch), count, places)]

    @abstractmethod
    def largest(self) -> np.ndarray:
        """The micro-batch that needs most memory."""

    @abstractmethod
    def _batch(self, epoch: int, number: int) -> np.ndarray:
        """Batch `number` of an epoch, in the order that batches are cut."""


class LengthOrder:
    """Examples sorted by length, those of equal length shuffled anew for each epoch.

    `lengths`: integers [E]. `counts`: int64 [longest + 1], examples of each length.
    """

    def __init__(self, lengths: np.ndarray, seed: int):
        self._seed = seed
        self.counts = _count(lengths)
        self._starts = np.cumsum(self.counts) - self.counts
        self._examples = _sort_by_length(lengths, self._starts)

    def length_at(self, places: np.ndarray) -> np.ndarray:
        """int64: the length of the examples at `places` of the order."""
        return np.searchsorted(self._starts + self.counts, places, side="right")

    def start_of(self, length: int) -> int:
        """The place of the first example of a length."""
        return int(self._starts[length])

    def at(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """int64: the examples at `places` (int64) of an epoch's order."""
        length = self.length_at(places)
        start = self._starts[length]
        key = derive_key("order", self._seed, epoch)
        shuffled = permute(key + length, self.counts[length], places - start)
        examples: np.ndarray = self._examples[start + shuffled]
        return examples.astype(np.int64)


class LengthBucketSampler(Sampler):
    """Batches of examples of like length, one in each row, under a budget of padded tokens.

    In every epoch each example is in exactly one batch. Batches are cut from the examples sorted by length, those of
    equal length in an order drawn anew for each epoch, and whole batches are shuffled.

    `lengths`: integers [E], padded width that each example needs. `tokens_per_batch`: most tokens a batch may have,
    rows times width. Raises `UserError` if an example is over the budget or there are too few examples for a step.
    """

    def __init__(self, lengths: np.ndarray, tokens_per_batch: int, global_micro_batches: int, seed: int):
        check_budget(lengths, tokens_per_batch, global_micro_batches)
        self._order = LengthOrder(lengths, seed)
        self._sizes = _split_to_multiple(_cut(self._order.counts, tokens_per_batch), global_micro_batches)
        self._ends = np.cumsum(self._sizes)
        super().__init__(len(self._sizes), global_micro_batches, seed)

    def largest(self) -> np.ndarray:
        # Memory grows with tokens and, in attention, with width.
        width = self._order.length_at(self._ends - 1)
        return self._batch(0, int(np.argmax(self._sizes * width * (1024 + width))))

    def _batch(self, epoch: int, number: int) -> np.ndarray:
        end = self._ends[number]
        return self._order.at(epoch, np.arange(end - self._sizes[number], end))[:, None]


def resolve_micro_batches(asked: int | None, processes: int) -> int:
    """Return the micro-batches of a step: `asked`, or the smallest multiple of `processes` that is at least 4.

    Raises `UserError` if `processes` does not divide `asked`.
    """
    if asked is None:
        return -(-_FEWEST_MICRO_BATCHES // processes) * processes
    if asked % processes:
        raise UserError(f"--global-micro-batches {asked}: must be a multiple of the number of processes, {processes}")
    return asked


def check_budget(lengths: np.ndarray, tokens_per_batch: int, global_micro_batches: int) -> None:
    """Raise `UserError` if an example is over the budget or there are too few examples for a step."""
    if len(lengths) < global_micro_batches:
        raise UserError(
            f"{len(lengths)} training examples are too few for {global_micro_batches} micro-batches a step;"
            " lower --global-micro-batches or add songs"
        )
    if lengths.max() > tokens_per_batch:
        raise UserError(
            f"--tokens-per-batch {tokens_per_batch}: the longest example alone needs {lengths.max()}; raise it"
        )


def _count(lengths: np.ndarray) -> np.ndarray:
    """int64 [longest + 1]: how many examples there are of each length."""
    counts = np.zeros(int(lengths.max()) + 1, np.int64)
    for begin in range(0, len(lengths), CHUNK):
        counts += np.bincount(lengths[begin : begin + CHUNK], minlength=len(counts))
    return counts


def _sort_by_length(lengths: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Example indices sorted by length, the shortest type [E]; the first example of length k goes to `starts[k]`.

    A counting sort, by chunks, so that its memory is little more than its result.
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


def _cut(count_of_length: np.ndarray, budget: int) -> np.ndarray:
    """Sizes of the batches cut from examples sorted by length, the k-th entry counting those of length k: int64 [B].

    Batches are as full as the budget allows; rows left over at one length join the next longer ones if they fit.
    """
    sizes, left_over = [], 0
    for length in np.flatnonzero(count_of_length):
        capacity = budget // length
        if left_over >= capacity:  # they fitted at their own width, but not at this one
            sizes.append(np.array([left_over]))
            left_over = 0
        full, left_over = divmod(left_over + count_of_length[length], capacity)
        sizes.append(np.full(full, capacity))
    sizes.append(np.array([left_over] if left_over else [], dtype=np.int64))
    return np.concatenate(sizes).astype(np.int64)


def _split_to_multiple(sizes: np.ndarray, multiple: int) -> np.ndarray:
    """Halve the batches of most rows until the number of batches is a multiple of `multiple`."""
    while missing := -len(sizes) % multiple:
        largest = np.argsort(-sizes, kind="stable")[:missing]
        largest = np.sort(largest[sizes[largest] > 1])
        if not len(largest):
            raise UserError(
                f"{len(sizes)} examples in batches of one cannot be shared over {multiple} micro-batches a step;"
                " raise --tokens-per-batch or lower --global-micro-batches"
            )
        halves = sizes[largest] // 2
        sizes = sizes.copy()
        sizes[largest] -= halves
        sizes = np.insert(sizes, largest + 1, halves)
    return sizes
