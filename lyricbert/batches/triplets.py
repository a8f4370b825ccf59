"""Choose triplets: a section of a song (anchor), another section of that song (positive), one of another (negative)."""

from dataclasses import dataclass

import numpy as np

from lyricbert.batches.examples import Examples, chosen_sections, truncate_to_whole_lines
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore


@dataclass(frozen=True)
class LabelledSections:
    """S sections of a split, each labelled with its song. Each song has at least two sections.

    `song`: int64 [S], ascending, the song of each section. `songs`: number of songs. `all_songs`: their number before
    `max_songs` was applied. `too_few`: number of songs left out because they have fewer than two different sections.
    `too_long`: number of sections left out because their first line is too long.
    """

    sections: Examples
    song: np.ndarray
    songs: int
    all_songs: int
    too_few: int
    too_long: int


@dataclass(frozen=True)
class Triplets:
    """T held-out triplets.

    `sections`: the S sections that occur in them. `song`: int64 [S], the song of each section. `rows`: int64 [3, T],
    anchors, positives and negatives as indices into `sections`. `all_triplets`: number of triplets before `most` was
    applied. `too_few`, `too_long`: see `LabelledSections`.
    """

    sections: Examples
    song: np.ndarray
    rows: np.ndarray
    all_triplets: int
    too_few: int
    too_long: int


def labelled_sections(
    store: TokenStore, split: int, max_length: int, key: int = 0, max_songs: int | None = None
) -> LabelledSections:
    """The distinct sections of the songs that have at least two such sections.

    `max_songs`: maximum number of songs, chosen by a hash of `key`. Sections are cut to the whole lines that fit into
    `max_length` tokens. Raises `UserError` if fewer than two songs remain.
    """
    song = store.song_of_section()
    distinct = (store.song_split == split)[song] & store.section_first
    fits = distinct & (_first_line_lengths(store) <= max_length)
    usable = np.flatnonzero(np.bincount(song[fits]) >= 2)
    by_hash = np.argsort(hash64(derive_key("songs", key), usable), kind="stable")
    chosen = usable[by_hash][:max_songs]
    too_long = int(np.count_nonzero(distinct) - np.count_nonzero(fits))
    if len(chosen) < 2:
        remedy = "add songs" if max_songs is None else "add songs or raise --max-songs"
        remedy = f"raise --max-length {max_length}, or add songs" if too_long else remedy
        raise UserError(
            f"{store.path}: {'training' if split == TRAIN else 'validation'} needs at least two songs with two"
            f" different sections for triplets, but has {len(chosen)}; {remedy}"
        )
    is_chosen = np.zeros(len(store.song_split), bool)
    is_chosen[chosen] = True
    wanted = fits & is_chosen[song]
    return LabelledSections(
        sections=truncate_to_whole_lines(chosen_sections(store, wanted), max_length),
        song=song[wanted],
        songs=len(chosen),
        all_songs=len(usable),
        too_few=int(np.count_nonzero(store.song_split == split)) - len(usable),
        too_long=too_long,
    )


def _first_line_lengths(store: TokenStore) -> np.ndarray:
    """int64 [sections]: the tokens of the first line of each section, with [CLS] and [SEP]."""
    first = store.section_offsets[:-1]
    lengths: np.ndarray = store.line_offsets[first + 1] - store.line_offsets[first] + 2
    return lengths


def held_out_triplets(store: TokenStore, max_length: int, most: int) -> Triplets:
    """At most `most` triplets of the validation songs, the same for every model and seed.

    Each section is the anchor of one triplet. If there are more than `most`, they are chosen by hash. Raises
    `UserError` as `labelled_sections` does.
    """
    key = derive_key("held-out triplets")
    labelled = labelled_sections(store, VALIDATION, max_length)
    rows = draw_triplets(labelled.song, np.arange(len(labelled.song)), key)
    by_hash = np.argsort(hash64(derive_key("sample", key), rows[0]), kind="stable")
    chosen = rows[:, np.sort(by_hash[:most])]
    used, renumbered = np.unique(chosen, return_inverse=True)
    sections = labelled.sections.take(used)
    left_out = (labelled.too_few, labelled.too_long)
    return Triplets(sections, labelled.song[used], renumbered.reshape(3, -1), rows.shape[1], *left_out)


def draw_triplets(song: np.ndarray, ids: np.ndarray, key: int) -> np.ndarray:
    """Draw a triplet for each section that has another section of its song and a section of another song.

    `song`: int64 [S], ascending. `ids`: int64 [S], a unique number for each section. Every choice is a hash of `key`
    and the number of the anchor. Returns int64 [3, T]: anchors, positives and negatives as indices from 0 to S - 1.
    """
    total = len(song)
    _, first, inverse, count = np.unique(song, return_index=True, return_inverse=True, return_counts=True)
    anchor = np.flatnonzero((count[inverse] > 1) & (count[inverse] < total))
    start, size = first[inverse[anchor]], count[inverse[anchor]]
    draw = top_bits(hash64(derive_key("positive", key), ids[anchor]), 62)
    positive = start + (anchor - start + 1 + draw % (size - 1)) % size
    draw = top_bits(hash64(derive_key("negative", key), ids[anchor]), 62) % (total - size)
    negative = np.where(draw < start, draw, draw + size)
    return np.stack([anchor, positive, negative])
