"""Which sections form a triplet: a section of a song, another section of that song, a section of another song."""

from dataclasses import dataclass

import numpy as np

from lyricbert.batches.examples import Examples, section_examples, truncate_to_whole_lines
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.songs.store import TRAIN, TokenStore


@dataclass(frozen=True)
class Triplets:
    """T triplets of a split.

    `sections`: its S distinct sections. `song`: int64 [S]. `rows`: int64 [3, T], anchors, positives and negatives as
    indices into `sections`. `too_long`: how many sections were left out because their first line alone is too long.
    """

    sections: Examples
    song: np.ndarray
    rows: np.ndarray
    too_long: int

    def lengths(self) -> np.ndarray:
        """int64 [T]: tokens of the longest of the three sections."""
        longest: np.ndarray = self.sections.lengths[self.rows].max(axis=0)
        return longest


def draw_triplets(store: TokenStore, split: int, key: int, max_length: int, max_songs: int | None = None) -> Triplets:
    """One triplet for every distinct section of every song that has two, or of `max_songs` of those songs.

    Sections keep the first lines that fit into `max_length` tokens. Choices are hashes of `key`: the same triplets for
    the same store and key. Raises `UserError` if fewer than two songs are left.
    """
    sections = truncate_to_whole_lines(section_examples(store, split), max_length)
    fitting = np.flatnonzero(sections.lengths <= max_length)
    too_long = len(sections) - len(fitting)
    sections = sections.take(fitting)
    song = store.song_of_line()[sections.first_line]
    songs, section_song, count = np.unique(song, return_inverse=True, return_counts=True)
    usable = np.flatnonzero(count >= 2)
    by_hash = np.argsort(hash64(derive_key("songs", key), songs[usable]), kind="stable")
    usable = np.sort(usable[by_hash][:max_songs])
    if len(usable) < 2:
        raise UserError(
            f"{store.path}: triplets need two songs with two different sections in training and in validation;"
            f" {'training' if split == TRAIN else 'validation'} has {len(usable)}"
        )
    chosen = np.flatnonzero(np.isin(section_song, usable))
    sections, song = sections.take(chosen), song[chosen]
    return Triplets(sections, song, _rows(song, key), too_long)


def _rows(song: np.ndarray, key: int) -> np.ndarray:
    """int64 [3, S] for S sections sorted by song, every song of two or more."""
    total = len(song)
    anchor = np.arange(total)
    _, first, inverse, count = np.unique(song, return_index=True, return_inverse=True, return_counts=True)
    start, size = first[inverse], count[inverse]
    draw = top_bits(hash64(derive_key("positive", key), anchor), 62)
    positive = start + (anchor - start + 1 + draw % (size - 1)) % size
    draw = top_bits(hash64(derive_key("negative", key), anchor), 62) % (total - size)
    negative = np.where(draw < start, draw, draw + size)
    return np.stack([anchor, positive, negative])
