"""Examples: the lines or the sections of a split of a store.

There may be a hundred million, so what is kept of each is as narrow as can be, and made by chunks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lyricbert.errors import UserError
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore

CHUNK = 1 << 22


@dataclass(frozen=True)
class Examples:
    """E examples, each a run of whole lines of a store: [CLS] line [SEP] line [SEP] ...

    `first_line`, `line_count`: integers [E]. `lengths`: int32 [E], in tokens, special tokens included.
    """

    store: TokenStore
    first_line: np.ndarray
    line_count: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: np.ndarray) -> "Examples":
        """The examples at `indices` (int64 [K]), their arrays int64."""
        arrays = (self.first_line, self.line_count, self.lengths)
        return Examples(self.store, *(array[indices].astype(np.int64) for array in arrays))


def line_examples(store: TokenStore, split: int) -> Examples:
    """Every distinct line of a split."""
    lines_of_song = np.diff(store.section_offsets[store.song_offsets])
    wanted = np.repeat(store.song_split == split, lines_of_song)
    wanted &= store.line_first
    lines = _places(wanted)
    return _examples(store, lines, np.broadcast_to(np.int64(1), lines.shape))


def section_examples(store: TokenStore, split: int, distinct: bool = True) -> Examples:
    """Every section of a split, its lines joined by the separator token; with `distinct`, without duplicates."""
    wanted = np.repeat(store.song_split == split, np.diff(store.song_offsets))
    if distinct:
        wanted &= store.section_first
    sections = _places(wanted)
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


def truncate_to_whole_lines(examples: Examples, max_length: int) -> Examples:
    """The examples cut to the whole lines that fit into `max_length` tokens, but to no less than one line."""
    ends = examples.store.line_offsets + np.arange(len(examples.store.line_offsets))  # a [SEP] closes every line
    room = ends[examples.first_line] + max_length - 1
    fitting = np.searchsorted(ends, room, side="right") - 1 - examples.first_line
    return _examples(examples.store, examples.first_line, np.clip(fitting, 1, examples.line_count))


def _places(wanted: np.ndarray) -> np.ndarray:
    """The indices at which `wanted` (bool) is set, int32 if they fit."""
    kind = np.int32 if len(wanted) < 2**31 - 1 else np.int64
    return _by_chunks(len(wanted), lambda part: (part.start + np.flatnonzero(wanted[part])).astype(kind))


def _examples(store: TokenStore, first_line: np.ndarray, line_count: np.ndarray) -> Examples:
    offsets = store.line_offsets

    def lengths_of(part: slice) -> np.ndarray:
        first, count = first_line[part].astype(np.int64), line_count[part]
        lengths: np.ndarray = 1 + offsets[first + count] - offsets[first] + count
        return lengths.astype(np.int32)

    return Examples(store, first_line, line_count, _by_chunks(len(first_line), lengths_of))


def _by_chunks(count: int, function: Callable[[slice], np.ndarray]) -> np.ndarray:
    """What `function` gives for the slices of `count` things, in one array."""
    return np.concatenate([function(slice(begin, begin + CHUNK)) for begin in range(0, max(count, 1), CHUNK)])
