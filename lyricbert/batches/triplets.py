"""Choose triplets: a section of a song (anchor), another section of that song (positive), one of another (negative)."""

from dataclasses import dataclass

import numpy as np

from lyricbert.batches.examples import Examples, section_examples, truncate_to_whole_lines
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.songs.store import TRAIN, TokenStore


@dataclass(frozen=True)
class Triplets:
    """T triplets of a split.

    `sections`: the S sections that occur in them. `song`: int64 [S], the song of each section. `rows`: int64 [3, T],
    anchors, positives and negatives as indices into `sections`. `too_long`: number of sections left out because their
    first line exceeds the maximum length.
    """

    sections: Examples
    song: np.ndarray
    rows: np.ndarray
    too_long: int

    def lengths(self) -> np.ndarray:
        """int64 [T]: the tokens of the longest section of each triplet."""
        longest: np.ndarray = self.sections.lengths[self.rows].max(axis=0)
        return longest


def draw_triplets(store: TokenStore, split: int, key: int, max_length: int, max_songs: int | None = None) -> Triplets:
    """Choose a triplet for each distinct section of the songs that have at least two such sections.

    `max_songs`: maximum number of such songs. Sections are cut to the whole lines that fit into `max_length` tokens.
    Every choice is a hash of `key`: the same store and key give the same triplets. Raises `UserError` if fewer than two
    songs remain.
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
        remedy = "add songs" if max_songs is None else "add songs or raise --max-songs"
        raise UserError(
            f"{store.path}: {'training' if split == TRAIN else 'validation'} needs at least two songs with two"
            f" different sections for triplets, but has {len(usable)}; {remedy}"
        )
    chosen = np.flatnonzero(np.isin(section_song, usable))
    sections, song = sections.take(chosen), song[chosen]
    return Triplets(sections, song, _rows(song, key), too_long)


def _rows(song: np.ndarray, key: int) -> np.ndarray:
    """int64 [3, S]: a triplet for each of S sections. Sections are sorted by song; each song has at least two."""
    total = len(song)
    anchor = np.arange(total)
    _, first, inverse, count = np.unique(song, return_index=True, return_inverse=True, return_counts=True)
    start, size = first[inverse], count[inverse]
    draw = top_bits(hash64(derive_key("positive", key), anchor), 62)
    positive = start + (anchor - start + 1 + draw % (size - 1)) % size
    draw = top_bits(hash64(derive_key("negative", key), anchor), 62) % (total - size)
    negative = np.where(draw < start, draw, draw + size)
    return np.stack([anchor, positive, negative])
