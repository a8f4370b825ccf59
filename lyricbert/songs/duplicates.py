"""Which lines and sections are the same text."""

import re
from hashlib import blake2b

import numpy as np

from lyricbert.hashing import hash64
from lyricbert.songs.store import TRAIN, VALIDATION

_NOT_WORDS = re.compile(r"\W+")


def line_key(line: str) -> int:
    """A digest that is equal for lines that differ only in case, punctuation and spaces: a signed 64-bit number."""
    words = _NOT_WORDS.sub(" ", line.casefold()).strip()
    return int.from_bytes(blake2b(words.encode(), digest_size=8).digest(), "little", signed=True)


def section_keys(line_keys: np.ndarray, section_offsets: np.ndarray) -> np.ndarray:
    """A digest of each section's lines in order."""
    position = np.arange(len(line_keys)) - np.repeat(section_offsets[:-1], np.diff(section_offsets))
    return np.add.reduceat(hash64(line_keys, position), section_offsets[:-1])


def first_occurrences(keys: np.ndarray, split: np.ndarray) -> np.ndarray:
    """bool: True at the first of equal keys of the same split."""
    first = np.zeros(len(keys), dtype=bool)
    for side in (TRAIN, VALIDATION):
        members = np.flatnonzero(split == side)
        first[members[np.unique(keys[members], return_index=True)[1]]] = True
    return first
