"""Tokenize lines without transformers, which takes seconds to import and much memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

# A token rarely has more than 100 characters. Tokenizing a line of megabytes is slow, so it is cut before.
_CHARACTERS_A_TOKEN = 100
# The library keeps about a kilobyte for each line that it encodes at once.
_LINES_AT_ONCE = 4096


@dataclass(frozen=True)
class SavedTokenizer:
    """A tokenizer in a `directory` with a tokenizer.json.

    `unknown`: the id of its unknown token, None if it has none. `max_length`: the most tokens that its model takes.
    """

    directory: Path
    fingerprint: str
    size: int
    unknown: int | None
    max_length: int


@dataclass(frozen=True)
class LineTokenizer:
    """Cuts lines at `limit` tokens, special tokens included."""

    saved: SavedTokenizer
    limit: int

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(self.saved.directory / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a lyric is ordinary text
        return tokenizer

    def encode(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(token ids of all lines, uint16 or uint32 [tokens]; length, int64 [lines]; whether it was cut, bool [lines]).

        No special tokens are added. A line of which the tokenizer knows no token has length 0.
        """
        kind = np.uint16 if self.saved.size <= 2**16 else np.uint32
        blocks = [self._encode_block(lines[at : at + _LINES_AT_ONCE]) for at in range(0, len(lines), _LINES_AT_ONCE)]
        ids = np.concatenate([np.empty(0, kind), *(ids for ids, _ in blocks)], dtype=kind)
        lengths = np.concatenate([np.empty(0, np.int64), *(lengths for _, lengths in blocks)])
        return self._cut(ids, lengths)

    def _encode_block(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        longest = _CHARACTERS_A_TOKEN * self.limit
        encoded = self._tokenizer.encode_batch_fast([line[:longest] for line in lines], add_special_tokens=False)
        ids = [each.ids for each in encoded]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return np.fromiter(chain.from_iterable(ids), np.uint32, int(lengths.sum())), lengths

    def _cut(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        room = self.limit - 2  # [CLS] and [SEP] need two places
        line = np.repeat(np.arange(len(lengths)), lengths)
        unknown = self.saved.unknown
        known = np.bincount(line if unknown is None else line[ids != unknown], minlength=len(lengths)) > 0
        position = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        cut = (lengths > room) & known
        return ids[known[line] & (position < room)], np.minimum(lengths, room) * known, cut
