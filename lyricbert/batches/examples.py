"""Examples: the lines or the sections of one split of a store.

A store may have a hundred million lines. To save memory, the arrays are int32 where possible and are made in chunks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lyricbert.errors import UserError
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore

CHUNK = 1 << 22


@dataclass(frozen=True)
class Examples:
    """E examples. Each is one or more consecutive lines of a store: [CLS] line [SEP] line [SEP] ...

    `first_line`: integers [E], indices of lines in the store. `line_count`: integers [E]. `lengths`: int32 [E], in
    tokens, special tokens included.
    """

    store: TokenStore
    first_line: np.ndarray
    line_count: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: np.ndarray) -> "Examples":
        """The examples at `indices` (int64 [K]). Their arrays are int64."""
        arrays = (self.first_line, self.line_count, self.lengths)
        return Examples(self.store, *(array[indices].astype(np.int64) for array in arrays))


def line_examples(store: TokenStore, split: int) -> Examples:
    """The distinct lines of a split."""
    lines_of_song = np.diff(store.section_offsets[store.song_offsets])
    wanted = np.repeat(store.song_split == split, lines_of_song)
    wanted &= store.line_first
    lines = _places(wanted)
    return _examples(store, lines, np.broadcast_to(np.int64(1), lines.shape))


def section_examples(store: TokenStore, split: int, distinct: bool = True) -> Examples:
    """The sections of a split. With `distinct`, equal sections occur once."""
    wanted = np.repeat(store.song_split == split, np.diff(store.song_offsets))
    if distinct:
        wanted &= store.section_first
    return chosen_sections(store, wanted)


def chosen_sections(store: TokenStore, wanted: np.ndarray) -> Examples:
    """The sections where `wanted`, bool [sections], is True."""
    sections = _places(wanted)
    first_line = store.section_offsets[sections]
    return _examples(store, first_line, store.section_offsets[sections + 1] - first_line)


def unit_examples(store: TokenStore, unit: str, max_length: int) -> tuple[Examples, Examples]:
    """(training, validation) examples of `unit`, "line" or "section".

    Raises `UserError` if an example has more than `max_length` tokens.
    """
    view = {"line": line_examples, "section": section_examples}[unit]
    training, validation = view(store, TRAIN), view(store, VALIDATION)
    check_lengths(training, max_length)
    check_lengths(validation, max_length)
    return training, validation


def check_lengths(examples: Examples, max_length: int) -> None:
    """Raise `UserError` if an example has more than `max_length` tokens, the number of positions of the model."""
    longest = int(examples.lengths.max())
    if longest > max_length:
        raise UserError(
            f"{examples.store.path}: has examples of {longest} tokens, but the model takes at most {max_length};"
            f" prepare the store again with --max-tokens {max_length}"
        )


def truncate_to_whole_lines(examples: Examples, max_length: int) -> Examples:
    """Cut each example to the whole lines that fit into `max_length` tokens, but keep at least one line."""
    offsets, count = examples.store.line_offsets, examples.line_count
    number = np.repeat(np.arange(len(examples)), count)  # of the example of each line
    nth = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
    first = examples.first_line[number].astype(np.int64)
    # Each line ends with a [SEP], and a [CLS] comes first.
    length = 1 + offsets[first + nth + 1] - offsets[first] + nth + 1
    fitting = np.bincount(number[length <= max_length], minlength=len(examples))
    return _examples(examples.store, examples.first_line, np.maximum(fitting, 1))


def _places(wanted: np.ndarray) -> np.ndarray:
    """The indices where `wanted` (bool [N]) is True: int32 if N is small enough, else int64."""
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
    """Call `function` for consecutive slices of `range(count)` and concatenate the results."""
    return np.concatenate([function(slice(begin, begin + CHUNK)) for begin in range(0, max(count, 1), CHUNK)])
