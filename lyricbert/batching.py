"""The length-sorted bucketing sampler, and padded batches with attention masks.

A global step is `global_micro_batches` micro-batches of at most `tokens_per_batch` padded tokens each. Which examples
are in step n depends on the seed and n alone, never on the number of ranks: rank r of W takes every W-th micro-batch.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.store import TRAIN, VALIDATION, TokenStore
from lyricbert.tokenizer import Vocabulary

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """A padded batch of R examples, the longest of W tokens.

    `input_ids`: int64 [R, W]. `attention_mask`: int64 [R, W], 1 on tokens, 0 on padding. `example_ids`: int64 [R], the
    same for an example in every epoch. `lines`: how many lines of lyrics it holds. `real_tokens`: tokens not padding.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    example_ids: torch.Tensor
    lines: int
    real_tokens: int

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`; pinned first where that lets the copy overlap with the GPU's work."""
        if device.type == "cpu":
            return self
        moved = (
            tensor.pin_memory().to(device, non_blocking=True)
            for tensor in (self.input_ids, self.attention_mask, self.example_ids)
        )
        return Batch(*moved, self.lines, self.real_tokens)


@dataclass(frozen=True)
class Examples:
    """E examples, each a run of whole lines of a store: [CLS] line [SEP] line [SEP] ...

    `first_line`, `line_count`: int64 [E]. `lengths`: int64 [E], in tokens, special tokens included.
    """

    store: TokenStore
    first_line: np.ndarray
    line_count: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: np.ndarray) -> "Examples":
        """The examples at `indices`: int64 [K]."""
        return Examples(self.store, self.first_line[indices], self.line_count[indices], self.lengths[indices])


def line_examples(store: TokenStore, split: int) -> Examples:
    """Every distinct line of a split."""
    lines = np.flatnonzero(store.line_first & (store.song_split[store.song_of_line()] == split))
    return _examples(store, lines, np.ones_like(lines))


def section_examples(store: TokenStore, split: int, distinct: bool = True) -> Examples:
    """Every section of a split, its lines joined by the separator token; with `distinct`, without duplicates."""
    wanted = store.song_split[store.song_of_section()] == split
    sections = np.flatnonzero(wanted & store.section_first if distinct else wanted)
    first_line = store.section_offsets[sections]
    return _examples(store, first_line, store.section_offsets[sections + 1] - first_line)


def unit_examples(store: TokenStore, unit: str, max_length: int) -> tuple[Examples, Examples]:
    """(training, validation) examples of a unit, "line" or "section". Raises `UserError` over `max_length` tokens."""
    view = {"line": line_examples, "section": section_examples}[unit]
    training, validation = view(store, TRAIN), view(store, VALIDATION)
    check_lengths(training, max_length)
    check_lengths(validation, max_length)
    return training, validation


def check_lengths(examples: Examples, max_length: int) -> None:
    """Raise `UserError` if an example is longer than the model's `max_length` positions."""
    longest = int(examples.lengths.max())
    if longest > max_length:
        raise UserError(
            f"{examples.store.path}: holds examples of {longest} tokens, the model takes {max_length};"
            f" prepare it with --max-tokens {max_length}"
        )


def first_lines(examples: Examples, max_length: int) -> Examples:
    """The examples cut to the whole lines that fit into `max_length` tokens, but to no less than one line."""
    ends = examples.store.line_offsets + np.arange(len(examples.store.line_offsets))  # a [SEP] closes every line
    room = ends[examples.first_line] + max_length - 1
    fitting = np.searchsorted(ends, room, side="right") - 1 - examples.first_line
    return _examples(examples.store, examples.first_line, np.clip(fitting, 1, examples.line_count))


def _examples(store: TokenStore, first_line: np.ndarray, line_count: np.ndarray) -> Examples:
    first_line, line_count = np.asarray(first_line, np.int64), np.asarray(line_count, np.int64)
    offsets = store.line_offsets
    lengths = 1 + offsets[first_line + line_count] - offsets[first_line] + line_count
    return Examples(store, first_line, line_count, np.asarray(lengths))


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers `starts[i] ... starts[i] + counts[i] - 1` of every i, one after the other: int64 [sum of counts]."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - before, counts)


def make_batch(examples: Examples, indices: np.ndarray, vocabulary: Vocabulary) -> Batch:
    """Gather the examples at `indices` (int64 [R]) into a padded batch, without a loop over examples or lines."""
    chosen = examples.take(indices)
    rows, width = len(indices), int(chosen.lengths.max())
    input_ids = np.full(rows * width, vocabulary.pad, dtype=np.int64)
    row_start = np.arange(rows) * width
    input_ids[row_start] = vocabulary.cls
    line = ranges(chosen.first_line, chosen.line_count)
    token_start = examples.store.line_offsets[line]
    line_length = examples.store.line_offsets[line + 1] - token_start
    # A line begins after the [CLS] of its row and, for each earlier line of the row, its tokens and a [SEP].
    taken = line_length + 1
    before = np.cumsum(taken) - taken
    first_of_row = np.cumsum(chosen.line_count) - chosen.line_count
    line_start = before + np.repeat(row_start + 1 - before[first_of_row], chosen.line_count)
    input_ids[ranges(line_start, line_length)] = examples.store.tokens[ranges(token_start, line_length)]
    input_ids[line_start + line_length] = vocabulary.sep
    attention_mask = np.arange(width) < chosen.lengths[:, None]
    return Batch(
        input_ids=torch.from_numpy(input_ids.reshape(rows, width)),
        attention_mask=torch.from_numpy(attention_mask.astype(np.int64)),
        example_ids=torch.from_numpy(chosen.first_line),
        lines=len(line),
        real_tokens=int(chosen.lengths.sum()),
    )


@dataclass(frozen=True)
class _Plan:
    """An epoch: example indices in the order that batches are cut from, and the order of the batches, int64 both."""

    epoch: int
    examples: np.ndarray
    batches: np.ndarray


class LengthBucketSampler:
    """Batches of examples of like length, under a budget of padded tokens, in shuffled order.

    In every epoch each example is in exactly one batch. Examples are sorted by length, those of equal length in an
    order drawn anew for each epoch; batches are cut from that order and whole batches are shuffled. The number of
    batches is a multiple of `global_micro_batches`, so that every rank always runs the same number.

    `lengths`: int64 [E], padded width that each example needs. `tokens_per_batch`: most tokens a batch may have, rows
    times width. Raises `UserError` if an example is over the budget or there are too few examples for a step.
    """

    def __init__(self, lengths: np.ndarray, tokens_per_batch: int, global_micro_batches: int, seed: int):
        if len(lengths) < global_micro_batches:
            raise UserError(
                f"{len(lengths)} training examples are too few for {global_micro_batches} micro-batches a step;"
                " lower --global-micro-batches or add songs"
            )
        if lengths.max() > tokens_per_batch:
            raise UserError(
                f"--tokens-per-batch {tokens_per_batch}: the longest example alone needs {lengths.max()}; raise it"
            )
        self._lengths = lengths
        self._seed = seed
        self.global_micro_batches = global_micro_batches
        sizes = _cut(np.bincount(lengths), tokens_per_batch)
        self._sizes = _split_to_multiple(sizes, global_micro_batches)
        self._ends = np.cumsum(self._sizes)
        self.steps_per_epoch = len(self._sizes) // global_micro_batches
        self._last_plan: _Plan | None = None

    def epoch_of(self, step: int) -> int:
        """The epoch that global step `step` (from 0) belongs to."""
        return step // self.steps_per_epoch

    def micro_batches(self, step: int, rank: int = 0, world_size: int = 1) -> list[np.ndarray]:
        """The example indices (int64 [rows] each) of the micro-batches of `rank` in global step `step`, from 0."""
        plan = self._plan(self.epoch_of(step))
        start = (step % self.steps_per_epoch) * self.global_micro_batches
        chosen = plan.batches[start + rank : start + self.global_micro_batches : world_size]
        return [self._batch(plan, batch) for batch in chosen]

    def largest(self) -> np.ndarray:
        """The example indices of the batch that needs most memory, which grows with tokens and, in attention, width."""
        plan = self._plan(0)
        width = self._lengths[plan.examples[self._ends - 1]]
        return self._batch(plan, int(np.argmax(self._sizes * width * (1024 + width))))

    def _batch(self, plan: _Plan, batch: int) -> np.ndarray:
        return plan.examples[self._ends[batch] - self._sizes[batch] : self._ends[batch]]

    def _plan(self, epoch: int) -> _Plan:
        # A plan is never changed, so the thread that makes batches ahead may ask for another one meanwhile.
        plan = self._last_plan
        if plan is None or plan.epoch != epoch:
            examples = _sorted_by_length(self._lengths, derive_key("order", self._seed, epoch))
            keys = hash64(derive_key("batches", self._seed, epoch), np.arange(len(self._sizes)))
            plan = self._last_plan = _Plan(epoch, examples, np.argsort(keys, kind="stable"))
        return plan


def _sorted_by_length(lengths: np.ndarray, key: int) -> np.ndarray:
    """Example indices sorted by length, equal lengths in the order of a hash: int64 [E].

    Length, hash and index are packed into one integer each, because sorting values is several times faster than
    sorting indices by two keys.
    """
    index_bits = max(1, int(len(lengths) - 1).bit_length())
    hash_bits = 63 - index_bits - int(lengths.max()).bit_length()
    index = np.arange(len(lengths), dtype=np.int64)
    packed = ((lengths << hash_bits | top_bits(hash64(key, index), hash_bits)) << index_bits) | index
    packed.sort()
    return packed & ((1 << index_bits) - 1)


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


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator, the next one made in a thread while the caller uses the last."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        coming = executor.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, items, None)
            yield item
