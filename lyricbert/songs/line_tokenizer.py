"""Tokenize lines without transformers, which takes seconds to import and much memory."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from lyricbert.songs.groups import group_sums, positions_in_groups, take_groups

# A token rarely has more than 100 characters. Tokenizing a line of megabytes is slow, so it is cut before.
_CHARACTERS_A_TOKEN = 100
# The library keeps about a kilobyte for each text that it encodes at once.
_TEXTS_AT_ONCE = 4096
# Remembering so many words takes about 20 MB. Then they are forgotten.
_MOST_KNOWN_TEXTS = 2**17


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


@dataclass
class _KnownTexts:
    """Texts that were encoded before: the place of each, the ids of one text after the other, and their lengths."""

    places: dict[str, int]
    ids: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class LineTokenizer:
    """Cuts lines at `limit` tokens, special tokens included."""

    saved: SavedTokenizer
    limit: int

    def encode(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(token ids of all lines, uint16 or uint32 [tokens]; length, int64 [lines]; whether it was cut, bool [lines]).

        No special tokens are added. A line of which the tokenizer knows no token has length 0.
        """
        longest = _CHARACTERS_A_TOKEN * self.limit
        cut = [line[:longest] for line in lines]
        # A BERT tokenizer treats each word alone. Words repeat, so a word is tokenized once and remembered.
        texts = [line.split(" ") for line in cut] if self._treats_words_alone else [[line] for line in cut]
        texts_of_line = np.fromiter(map(len, texts), np.int64, len(texts))
        place = self._places_of(chain.from_iterable(texts))
        line_lengths = group_sums(self._known.lengths[place], texts_of_line)
        return self._cut(take_groups(self._known.ids, self._known.lengths, place), line_lengths)

    @cached_property
    def _known(self) -> "_KnownTexts":
        kind = np.uint16 if self.saved.size <= 2**16 else np.uint32
        return _KnownTexts({}, np.empty(0, kind), np.empty(0, np.int64))

    def _places_of(self, texts: Iterable[str]) -> np.ndarray:
        """int64 [texts]: the places of the texts in `_known`, to which it adds those that are new."""
        known = self._known
        if len(known.places) > _MOST_KNOWN_TEXTS:
            known.places.clear()
            known.ids, known.lengths = known.ids[:0], known.lengths[:0]
        places, count = known.places, len(known.places)
        place = np.array([places.setdefault(text, len(places)) for text in texts], np.int64)
        ids, lengths = self._encode_texts(list(islice(places, count, None)))
        known.ids, known.lengths = np.concatenate([known.ids, ids]), np.concatenate([known.lengths, lengths])
        return place

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(self.saved.directory / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a lyric is ordinary text
        return tokenizer

    @cached_property
    def _treats_words_alone(self) -> bool:
        """True if the tokens of a text are the tokens of its words, which spaces separate, one after the other."""
        description = json.loads(self._tokenizer.to_str())
        kinds = [(description[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
        # Other added tokens are found before the text is split, and may contain spaces.
        return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and all(
            token["special"] for token in description["added_tokens"]
        )

    def _encode_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(token ids of all texts, length of each in tokens)."""
        kind = self._known.ids.dtype
        ids, lengths = [np.empty(0, kind)], [np.empty(0, np.int64)]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            block = texts[start : start + _TEXTS_AT_ONCE]
            encoded = [each.ids for each in self._tokenizer.encode_batch_fast(block, add_special_tokens=False)]
            lengths.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
            ids.append(np.fromiter(chain.from_iterable(encoded), kind, int(lengths[-1].sum())))
        return np.concatenate(ids), np.concatenate(lengths)

    def _cut(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        room = self.limit - 2  # [CLS] and [SEP] need two places
        known = np.ones(len(ids), bool) if self.saved.unknown is None else ids != self.saved.unknown
        is_known = group_sums(known, lengths) > 0
        kept = np.repeat(is_known, lengths) & (positions_in_groups(lengths) < room)
        return ids[kept], np.minimum(lengths, room) * is_known, (lengths > room) & is_known
