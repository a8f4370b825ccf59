"""Find lines and sections with the same text."""

import re
from hashlib import blake2b

import numpy as np

from lyricbert.hashing import hash64
from lyricbert.songs.store import TRAIN, VALIDATION

_NOT_WORDS = re.compile(r"\W+")


def line_key(line: str) -> int:
    """A signed 64-bit digest of a line. It ignores case, punctuation and spaces."""
    words = _NOT_WORDS.sub(" ", line.casefold()).strip()
    return int.from_bytes(blake2b(words.encode(), digest_size=8).digest(), "little", signed=True)


def section_keys(line_keys: np.ndarray, section_offsets: np.ndarray) -> np.ndarray:
    """int64 [sections]: a digest of the lines of each section, in order.

    `line_keys`: int64 [lines]. `section_offsets`: int64 [sections + 1], into lines.
    """
    position = np.arange(len(line_keys)) - np.repeat(section_offsets[:-1], np.diff(section_offsets))
    return np.add.reduceat(hash64(line_keys, position), section_offsets[:-1])


def first_occurrences(keys: np.ndarray, split: np.ndarray) -> np.ndarray:
    """bool [N]: True where a key occurs for the first time in its split.

    `keys`: int64 [N]. `split`: uint8 [N], TRAIN or VALIDATION.
    """
    first = np.zeros(len(keys), dtype=bool)
    for side in (TRAIN, VALIDATION):
        members = np.flatnonzero(split == side)
        first[members[np.unique(keys[members], return_index=True)[1]]] = True
    return first
