"""Join shards into a token store: drop duplicate songs, split the songs, and drop validation lines that would leak.

Arrays with an entry a song, eight bytes a section and one byte a line are in memory. Everything else is read from the
shards block by block, several times.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lyricbert.errors import UserError
from lyricbert.songs.clusters import Clusters
from lyricbert.songs.common_lines import unite_songs_with_common_lines
from lyricbert.songs.duplicates import HELD_OUT, KEPT, drop_leaked_lines, mark_first_lines
from lyricbert.songs.groups import group_sums
from lyricbert.songs.near_duplicates import COMPONENTS, unite_equal_signatures, unite_songs_with_common_words
from lyricbert.songs.song_blocks import SongBlock, open_shard, song_blocks
from lyricbert.songs.split import split_songs
from lyricbert.songs.store import TRAIN, VALIDATION
from lyricbert.songs.store_writer import Decisions, write_arrays
from lyricbert.songs.tables import write_songs, write_sources

NEAR_DUPLICATES = ("group", "drop", "keep")


class UnsuitableSongs(UserError):
    """The songs cannot be split into training and validation. The message does not name their sources."""


@dataclass(frozen=True)
class JoinSettings:
    """How songs are split.

    `near_duplicates`: "group" puts the songs of a cluster on the same side, "drop" keeps only the one with the most
    lines, and "keep" does not look for near-duplicate songs.
    """

    val_fraction: float
    seed: int
    near_duplicates: str = "group"


def join_shards(shards: list[Path], directory: Path, settings: JoinSettings) -> dict[str, Any]:
    """Write the arrays and tables of a store to `directory`. Returns a part of its meta.json.

    `shards`: shards or finished stores, whose splits are ignored. All must have the same tokenizer and --max-tokens.
    The part of meta.json: `counts` of each split, `val_share` (the share of the songs that is held out),
    `near_duplicates` (counts of clusters), and `dropped`. Raises `UserError`.
    """
    opened = [open_shard(path) for path in shards]
    blocks = song_blocks(opened)
    dropped = Counter[str]()
    for shard in opened:
        dropped.update(shard.dropped)
    songs = _read_songs(blocks)
    if len(songs.keys) == 0:
        raise UnsuitableSongs("no songs with lyrics")
    original = _first_of_equal_songs(songs.keys)
    dropped["duplicate songs"] += int(np.count_nonzero(original != np.arange(len(original))))
    clusters = _find_clusters(songs, blocks, original, settings.near_duplicates != "keep")
    near_duplicates = _describe(clusters, original)
    if settings.near_duplicates == "drop":
        original = _longest_of_clusters(songs, clusters)
        dropped["near-duplicate songs"] += near_duplicates["songs"] - near_duplicates["clusters"]
    split = split_songs(songs.keys, clusters, settings.val_fraction, settings.seed)
    flags = _flag_lines(songs, blocks, original, split, dropped)
    del songs, clusters
    decisions = Decisions(original, split, flags)
    counts = write_arrays(directory, blocks, decisions)
    write_songs(directory, blocks, decisions)
    write_sources(directory, opened)
    train, validation = (counts[side].as_dict() for side in (TRAIN, VALIDATION))
    songs_left = counts[TRAIN].songs + counts[VALIDATION].songs
    dropped["songs without a line that is left"] += len(np.unique(original)) - songs_left
    return {
        "counts": {"train": train, "validation": validation},
        "val_share": round(validation["songs"] / songs_left, 4),
        "near_duplicates": near_duplicates,
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
    }


@dataclass(frozen=True)
class _Songs:
    """`keys`: int64 [songs]. `lines`: int64 [songs]. `signatures`: uint8 [songs, COMPONENTS]."""

    keys: np.ndarray
    lines: np.ndarray
    signatures: np.ndarray


def _read_songs(blocks: list[SongBlock]) -> _Songs:
    count = blocks[-1].songs.of_all.stop if blocks else 0
    songs = _Songs(np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, COMPONENTS), np.uint8))
    for block in blocks:
        songs.keys[block.songs.of_all] = block.read("song_keys")
        songs.lines[block.songs.of_all] = group_sums(block.read("section_lines"), block.read("song_sections"))
        songs.signatures[block.songs.of_all] = block.read("signatures")
    return songs


def _first_of_equal_songs(keys: np.ndarray) -> np.ndarray:
    """int64 [songs]: the first song with the same key. `keys`: int64 [songs]."""
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    equal: np.ndarray = first[place]
    return equal


def _find_clusters(songs: _Songs, blocks: list[SongBlock], original: np.ndarray, near: bool) -> np.ndarray:
    """int64 [songs]: a number for each cluster of songs that are equal or, if `near`, near."""
    everything = np.arange(len(original))
    clusters = Clusters(len(original))
    clusters.unite(everything, original)
    if near:
        distinct = unite_equal_signatures(clusters, songs.signatures, everything[original == everything])
        unite_songs_with_common_words(clusters, songs.signatures, distinct)
        unite_songs_with_common_lines(clusters, blocks, songs.lines, songs.signatures, distinct)
    return clusters.roots(everything)


def _describe(clusters: np.ndarray, original: np.ndarray) -> dict[str, int]:
    """Counts of the clusters of several different songs, of their songs, and of the songs of the largest one."""
    sizes = np.bincount(clusters[original == np.arange(len(original))])
    sizes = sizes[sizes > 1]
    return {"clusters": len(sizes), "songs": int(sizes.sum()), "largest": int(sizes.max(initial=0))}


def _longest_of_clusters(songs: _Songs, clusters: np.ndarray) -> np.ndarray:
    """int64 [songs]: the song with the most lines in the cluster of each song; of several, the one with the lowest key.

    Of equal songs it is the first.
    """
    order = np.lexsort((songs.keys, -songs.lines, clusters))
    cluster, first = np.unique(clusters[order], return_index=True)
    longest: np.ndarray = order[first][np.searchsorted(cluster, clusters)]
    return longest


def _flag_lines(
    songs: _Songs, blocks: list[SongBlock], original: np.ndarray, split: np.ndarray, dropped: Counter[str]
) -> np.ndarray:
    """uint8 [lines]: the flags of `lyricbert.songs.duplicates`. `dropped` counts lines that are removed."""
    flags = np.empty(int(songs.lines.sum()), np.uint8)
    flags_of_song = np.where(original == np.arange(len(original)), KEPT, 0) | np.where(split == VALIDATION, HELD_OUT, 0)
    _check_sides(flags_of_song)
    for block in blocks:
        here = np.repeat(flags_of_song[block.songs.of_all], songs.lines[block.songs.of_all]).astype(np.uint8)
        unknown = block.read("line_lengths") == 0
        dropped["lines unknown to the tokenizer"] += int(np.count_nonzero(here[unknown] & KEPT))
        here[unknown] &= ~KEPT
        flags[block.lines.of_all] = here
    for name in ("line_keys", "token_keys"):
        dropped["validation lines that also occur in training"] += drop_leaked_lines(flags, blocks, name)
    mark_first_lines(flags, blocks)
    _check_lines(flags)
    return flags


def _check_sides(flags_of_song: np.ndarray) -> None:
    remedy = "give another --seed, another --val-fraction, or more songs"
    kept = flags_of_song[flags_of_song & KEPT > 0]
    if len(kept) == 1:
        raise UnsuitableSongs("only one song with lyrics; add a second one, for validation")
    held_out = int(np.count_nonzero(kept & HELD_OUT))
    if held_out == 0:
        raise UnsuitableSongs(
            f"none of {len(kept)} songs is held out for validation, as each is with a chance; {remedy}"
        )
    if held_out == len(kept):
        raise UnsuitableSongs(
            f"all {len(kept)} songs are held out for validation, and none is left for training; {remedy}"
        )


def _check_lines(flags: np.ndarray) -> None:
    sides = flags & (KEPT | HELD_OUT)
    if not np.any(sides == KEPT | HELD_OUT):
        raise UnsuitableSongs("every validation line also occurs in training; raise --val-fraction or add songs")
    if not np.any(sides == KEPT):
        raise UnsuitableSongs("the tokenizer knows no line of the training songs; give another --tokenizer")
