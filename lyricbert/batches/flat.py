"""Build flat batches: sections one after the other in one sequence, and the padded rows that attention needs."""

from dataclasses import dataclass

import numpy as np
import torch

from lyricbert.batches.batching import concatenated_ranges, make_batch
from lyricbert.batches.examples import Examples
from lyricbert.batches.shapes import choose_widths
from lyricbert.songs.tokenizer import Vocabulary

# Every new shape needs memory on a CPU, see `lyricbert.batches.shapes`.
_MOST_WIDTHS = 6
_MOST_ROW_COUNTS = 8
_MOST_TOKEN_COUNTS = 64


@dataclass(frozen=True)
class FlatBatch:
    """S sections in a sequence of T tokens.

    `inputs`: the arguments of `SentenceEncoder`. `row`: int64 [S], the row of each section in the encoder's result.
    `lines`: number of lines of lyrics. `real_tokens`: number of tokens that belong to a section.
    """

    inputs: tuple[torch.Tensor, ...]
    row: torch.Tensor
    lines: int
    real_tokens: int


class FlatShapes:
    """The few lengths of sequences, numbers of rows and widths that flat batches can have.

    `lengths`: integers [E], the tokens of each section. `tokens_per_batch`: maximum number of tokens of a batch.
    `most_tokens`: the same, or fewer if there are not so many.
    """

    def __init__(self, lengths: np.ndarray, tokens_per_batch: int):
        self.most_tokens = min(tokens_per_batch, int(lengths.sum()))
        self.widths = choose_widths(np.bincount(lengths), _MOST_WIDTHS)[-1]

    def tokens(self, real: int) -> int:
        """The length of a sequence with `real` tokens."""
        return min(_round_up(real, -(-self.most_tokens // _MOST_TOKEN_COUNTS)), self.most_tokens)

    def rows(self, sections: int, width: int) -> int:
        """The rows of a block with this many sections."""
        return _round_up(sections, -(-self.most_tokens // (width * _MOST_ROW_COUNTS)))

    def padded_lengths(self, lengths: np.ndarray) -> np.ndarray:
        """int64 [S]: the width of the row of each section. `lengths`: integers [S]."""
        padded: np.ndarray = self.widths[np.searchsorted(self.widths, lengths)]
        return padded


def make_flat_batch(sections: Examples, indices: np.ndarray, vocabulary: Vocabulary, shapes: FlatShapes) -> FlatBatch:
    """Put the sections at `indices`, int64 [S], into a flat batch, without a Python loop over sections."""
    lengths = sections.lengths[indices].astype(np.int64)
    tokens = shapes.tokens(int(lengths.sum()))
    sequence = make_batch(sections, indices[None], vocabulary, (1, tokens))
    # The padding at the end gets separate rows. So every token is in a row, and no section sees the padding.
    in_rows = np.concatenate([lengths, _pieces(tokens - sequence.real_tokens, int(shapes.widths[0]))])
    places, row = _places(in_rows, shapes)
    flat = np.concatenate([block.ravel() for block in places])
    used = np.flatnonzero(flat >= 0)
    slots = np.empty(tokens, np.int64)
    slots[flat[used]] = used
    inputs = (sequence.input_ids[0], sequence.position_ids[0], torch.from_numpy(slots), *map(torch.from_numpy, places))
    return FlatBatch(inputs, torch.from_numpy(row[: len(indices)]), sequence.lines, sequence.real_tokens)


def _pieces(total: int, most: int) -> np.ndarray:
    """int64: numbers of at most `most` whose sum is `total`."""
    full, rest = divmod(total, most)
    return np.array([most] * full + [rest] * (rest > 0), np.int64)


def _places(lengths: np.ndarray, shapes: FlatShapes) -> tuple[list[np.ndarray], np.ndarray]:
    """(the `places` of `models.flat.PaddedRows`, the row of each of R consecutive pieces of a sequence: int64 [R]).

    `lengths`: int64 [R], the number of tokens of each piece.
    """
    starts = np.cumsum(lengths) - lengths
    block = np.searchsorted(shapes.widths, lengths)
    row = np.zeros_like(lengths)
    places, rows_before = [], 0
    for number in np.unique(block):
        width = int(shapes.widths[number])
        chosen = np.flatnonzero(block == number)
        table = np.full((shapes.rows(len(chosen), width), width), -1)
        row_starts = np.arange(len(chosen)) * width
        in_table = concatenated_ranges(row_starts, lengths[chosen])
        table.reshape(-1)[in_table] = concatenated_ranges(starts[chosen], lengths[chosen])
        row[chosen] = rows_before + np.arange(len(chosen))
        places.append(table)
        rows_before += len(table)
    return places, row


def cut_by_tokens(lengths: np.ndarray, tokens_per_batch: int) -> list[np.ndarray]:
    """Cut sections, sorted by length, into batches of at most `tokens_per_batch` tokens, at least one section each.

    `lengths`: integers [S]. Returns the indices of the sections of each batch, int64.
    """
    order = np.argsort(lengths, kind="stable")
    ends = np.cumsum(lengths[order], dtype=np.int64)
    batches, begin = [], 0
    while begin < len(order):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + tokens_per_batch, side="right")))
        batches.append(order[begin:end])
        begin = end
    return batches


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
