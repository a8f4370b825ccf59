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
from lyricbert.songs.groups import group_sums
from lyricbert.songs.joining.clustering import (
    Songs,
    describe_clusters,
    find_clusters,
    longest_of_clusters,
    longest_of_equal_songs,
    read_songs,
)
from lyricbert.songs.joining.duplicates import HELD_OUT, KEPT, drop_leaked_lines, mark_first_lines
from lyricbert.songs.joining.song_blocks import SongBlock, open_shard, song_blocks
from lyricbert.songs.joining.split import split_songs
from lyricbert.songs.joining.store_writer import Decisions, write_arrays
from lyricbert.songs.joining.tables import write_songs, write_sources
from lyricbert.songs.store import TRAIN, VALIDATION


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


def join_shards(shards: list[Path], directory: Path, settings: JoinSettings, dropped: Counter[str]) -> dict[str, Any]:
    """Write the arrays and tables of a store to `directory`. Returns a part of its meta.json.

    `shards`: shards or finished stores, whose splits are ignored. All must have the same tokenizer and --max-tokens.
    `dropped`: what was dropped before there were shards. The part of meta.json: `counts` of each split, `val_share`
    (the share of the songs that is held out), `near_duplicates` (counts of clusters), `sources` and `dropped`. Raises
    `UnsuitableSongs`, and `UserError` for a damaged shard.
    """
    opened = [open_shard(path) for path in shards]
    blocks = song_blocks(opened)
    dropped = dropped.copy()
    for shard in opened:
        dropped.update(shard.dropped)
    songs = read_songs(blocks)
    original = longest_of_equal_songs(songs)
    dropped["duplicate songs"] += len(original) - len(np.unique(original))
    clusters = find_clusters(songs, blocks, original, settings.near_duplicates != "keep")
    near_duplicates = describe_clusters(clusters, original)
    if settings.near_duplicates == "drop":
        original = longest_of_clusters(songs, clusters)
        dropped["near-duplicate songs"] += near_duplicates["songs"] - near_duplicates["clusters"]
    split = split_songs(songs.keys, clusters, settings.val_fraction, settings.seed)
    decisions = Decisions(original, split, _flag_lines(songs, blocks, clusters, original, split, dropped))
    del songs, clusters  # so that their memory is free while the store is written
    counts = write_arrays(directory, blocks, decisions)
    write_songs(directory, blocks, decisions)
    sources = write_sources(directory, opened)
    songs_left = counts[TRAIN].songs + counts[VALIDATION].songs
    dropped["songs of which no line is left"] += len(np.unique(original)) - songs_left
    return {
        "counts": {"train": counts[TRAIN].as_dict(), "validation": counts[VALIDATION].as_dict()},
        "val_share": round(counts[VALIDATION].songs / songs_left, 4),
        "near_duplicates": near_duplicates,
        "sources": sources,
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
    }


def _flag_lines(
    songs: Songs,
    blocks: list[SongBlock],
    clusters: np.ndarray,
    original: np.ndarray,
    split: np.ndarray,
    dropped: Counter[str],
) -> np.ndarray:
    """uint8 [lines]: the flags of `lyricbert.songs.joining.duplicates`. `dropped` counts what is removed.

    `clusters`: int64 [songs]. `original` and `split` are those of `Decisions`. Raises `UnsuitableSongs` if a split
    would be empty.
    """
    flags = np.empty(int(songs.lines.sum()), np.uint8)
    is_kept, has_words = original == np.arange(len(original)), np.zeros(len(original), bool)
    for block in blocks:
        here, lines = block.songs.of_all, songs.lines[block.songs.of_all]
        known = block.read("line_lengths") > 0
        dropped["lines unknown to the tokenizer"] += int(np.count_nonzero(~known))
        has_words[here] = group_sums(known, lines) > 0
        kept, held_out = known & np.repeat(is_kept[here], lines), np.repeat(split[here] == VALIDATION, lines)
        flags[block.lines.of_all] = kept * KEPT | held_out * HELD_OUT
    _check_split(split[is_kept & has_words], clusters[is_kept & has_words], dropped)
    for name in ("line_keys", "token_keys"):
        dropped["validation lines that also occur in training"] += drop_leaked_lines(flags, blocks, name)
    if not np.any(flags & (KEPT | HELD_OUT) == KEPT | HELD_OUT):
        raise UnsuitableSongs("every validation line also occurs in training; raise --val-fraction or add songs")
    mark_first_lines(flags, blocks)
    return flags


def _check_split(split: np.ndarray, clusters: np.ndarray, dropped: Counter[str]) -> None:
    """Raise `UnsuitableSongs` unless there are songs on both sides.

    `split`: uint8 [songs]. `clusters`: int64 [songs].
    """
    songs, held_out = len(split), int(np.count_nonzero(split == VALIDATION))
    removed = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    removed = f" (removed: {removed})" if removed else ""
    if songs == 0:
        raise UnsuitableSongs(f"no lyrics; check the files{removed}")
    if songs == 1:
        raise UnsuitableSongs(f"only one song with lyrics; add a second one, for validation{removed}")
    if np.all(clusters == clusters[0]):
        raise UnsuitableSongs(
            f"all {songs} songs are near duplicates, which stay on one side of the split; add other songs or give"
            " --near-duplicates keep"
        )
    if held_out in (0, songs):
        which = "none" if held_out == 0 else "each"
        raise UnsuitableSongs(
            f"{which} of the {songs} songs is held out for validation, because a hash of its text decides that;"
            " give another --seed or --val-fraction, or add songs"
        )
