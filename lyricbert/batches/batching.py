"""Build batches: rows of examples with padding and attention masks. A thread builds them ahead of their step."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch

from lyricbert.batches.examples import Examples
from lyricbert.songs.tokenizer import Vocabulary

T = TypeVar("T")
Tensors = TypeVar("Tensors", bound=tuple[torch.Tensor | None, ...])


@dataclass(frozen=True)
class Batch:
    """R rows of W tokens. A row has up to S examples, one after the other, and then padding.

    `input_ids`: int64 [R, W]. `attention_mask`: int64 [R, W], n on the tokens of a row's n-th example (from 1), 0 on
    padding. `position_ids`: int64 [R, W], from 0 in each example. `example_ids`: int64 [R, S]; an example has the same
    id in every epoch. `lines`: number of lines of lyrics. `real_tokens`: number of tokens without padding.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    example_ids: torch.Tensor
    lines: int
    real_tokens: int

    @property
    def needed_mask(self) -> torch.Tensor | None:
        """The attention mask, or None if each row is one example without padding. Then tokens see their whole row."""
        whole = self.example_ids.shape[1] == 1 and self.real_tokens == self.input_ids.numel()
        return None if whole else self.attention_mask


@dataclass(frozen=True)
class MicroBatch:
    """The examples of one forward and backward pass on one rank.

    `inputs`: the arguments of the task's module. `examples`: int64 [E], the first line of each example in the store.
    `terms`: number of terms that the loss sums. `lines`: number of lines of lyrics. `real_tokens`, `padded_tokens`:
    number of tokens without and with padding. `triplets`: number of triplets; 0 if the task has none.
    """

    inputs: tuple[torch.Tensor | None, ...]
    examples: np.ndarray
    terms: int
    lines: int
    real_tokens: int
    padded_tokens: int
    triplets: int = 0


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    """The tensors on `device`. Copies from pinned memory run while the GPU works."""
    moved = tuple(tensor if tensor is None else tensor.to(device, non_blocking=True) for tensor in tensors)
    return cast(Tensors, moved)  # the same number of tensors, with None in the same places


def concatenated_ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """int64 [sum of counts]: the ranges `starts[i], ..., starts[i] + counts[i] - 1`, concatenated over i."""
    before = np.cumsum(counts) - counts
    numbers: np.ndarray = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return numbers


def make_batch(
    examples: Examples, indices: np.ndarray, vocabulary: Vocabulary, shape: tuple[int, int] | None = None
) -> Batch:
    """Put the examples at `indices` into the rows of a batch, without a Python loop over examples, lines or rows.

    `indices`: int64 [R, S], the examples of each row in order, -1 where a row has fewer than S. `shape`: (rows, width)
    of the batch, if it should be larger than the examples need. Added rows are empty.
    """
    filled = indices >= 0
    chosen = examples.take(indices[filled])
    lengths = np.zeros(indices.shape, np.int64)
    lengths[filled] = chosen.lengths
    ends = lengths.cumsum(axis=1)
    rows, width = shape or (len(indices), int(ends[:, -1].max()))
    starts = (np.arange(len(indices))[:, None] * width + ends - lengths)[filled]
    number = np.broadcast_to(np.arange(1, indices.shape[1] + 1), indices.shape)[filled]
    example_ids = np.zeros((rows, indices.shape[1]), np.int64)
    example_ids[: len(indices)][filled] = chosen.first_line

    input_ids = np.full(rows * width, vocabulary.pad, np.int64)
    attention_mask, position_ids = np.zeros_like(input_ids), np.zeros_like(input_ids)
    tokens = concatenated_ranges(starts, chosen.lengths)
    attention_mask[tokens] = np.repeat(number, chosen.lengths)
    position_ids[tokens] = concatenated_ranges(np.zeros_like(starts), chosen.lengths)
    _write_tokens(input_ids, starts, chosen, vocabulary)
    return Batch(
        input_ids=torch.from_numpy(input_ids.reshape(rows, width)),
        attention_mask=torch.from_numpy(attention_mask.reshape(rows, width)),
        position_ids=torch.from_numpy(position_ids.reshape(rows, width)),
        example_ids=torch.from_numpy(example_ids),
        lines=int(chosen.line_count.sum()),
        real_tokens=len(tokens),
    )


def _write_tokens(input_ids: np.ndarray, starts: np.ndarray, examples: Examples, vocabulary: Vocabulary) -> None:
    """Write the tokens of each example into the flat `input_ids`. `starts`: int64 [E], the position of its [CLS]."""
    offsets = examples.store.line_offsets
    input_ids[starts] = vocabulary.cls
    line = concatenated_ranges(examples.first_line, examples.line_count)
    token_start = offsets[line]
    line_length = offsets[line + 1] - token_start
    # Before a line come the [CLS] of its example and, for each earlier line of the example, the tokens and a [SEP].
    taken = line_length + 1
    before = np.cumsum(taken) - taken
    first_of_example = np.cumsum(examples.line_count) - examples.line_count
    line_start = before + np.repeat(starts + 1 - before[first_of_example], examples.line_count)
    input_ids[concatenated_ranges(line_start, line_length)] = examples.store.tokens[
        concatenated_ranges(token_start, line_length)
    ]
    input_ids[line_start + line_length] = vocabulary.sep


def prefetch(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield the items of an iterator. A thread makes the next item while the caller uses the current one."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        coming = executor.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, items, None)
            yield item
