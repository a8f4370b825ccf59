"""Write the tables of a token store: a row for each song and for each source file."""

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lyricbert.errors import UserError
from lyricbert.songs.groups import group_starts, group_sums
from lyricbert.songs.joining.duplicates import KEPT
from lyricbert.songs.joining.song_blocks import Shard, SongBlock
from lyricbert.songs.joining.store_writer import Decisions
from lyricbert.songs.sharding.shard import as_line

_SONGS = "songs.jsonl"
# meta.json names so many sources, so that it does not grow with their number.
_NAMED_SOURCES = 10


def write_songs(directory: Path, blocks: list[SongBlock], decisions: Decisions) -> None:
    """Write songs.jsonl: the rows of the songs that are in the store, with the names of the sections that are.

    `duplicates` in a row are the ids of the songs that were dropped because this one was kept.
    """
    duplicates = _ids_of_duplicates(blocks, decisions.original)
    with (directory / _SONGS).open("w", encoding="utf-8") as file:
        for block, rows in _with_rows(blocks):
            line = decisions.flags[block.lines.of_all] & KEPT > 0
            section = group_sums(line, block.read("section_lines")) > 0
            counts = block.read("song_sections")
            kept, starts = group_sums(section, counts).tolist(), group_starts(counts).tolist()
            for number, (row, count) in enumerate(zip(rows, counts.tolist(), strict=True)):
                song = block.songs.first + number
                if kept[number] == count and song not in duplicates:
                    file.write(row)
                elif kept[number]:
                    names_kept = section[starts[number] : starts[number] + count]
                    file.write(as_line(_change(_parse(row, block), names_kept, duplicates.get(song, []))))


def _change(row: dict[str, Any], kept_sections: np.ndarray, duplicates: list[str]) -> dict[str, Any]:
    names = [name for name, kept in zip(row["sections"], kept_sections, strict=True) if kept]
    ids = [*row.get("duplicates", []), *duplicates]
    return {**row, "sections": names, **({"duplicates": ids} if ids else {})}


def _ids_of_duplicates(blocks: list[SongBlock], original: np.ndarray) -> dict[int, list[str]]:
    """The ids of the songs that are dropped for each song, and of those that were dropped for them before."""
    ids: dict[int, list[str]] = defaultdict(list)
    if np.array_equal(original, np.arange(len(original))):
        return ids
    for block, rows in _with_rows(blocks):
        for song, row in enumerate(rows, start=block.songs.first):
            if original[song] != song:
                dropped = _parse(row, block)
                ids[int(original[song])] += [each for each in (dropped["id"], *dropped.get("duplicates", [])) if each]
    return ids


def _with_rows(blocks: list[SongBlock]) -> Iterator[tuple[SongBlock, list[str]]]:
    """Yield each block with the rows of its songs, as text."""
    rows: Iterator[str] = iter(())
    for block in blocks:
        if block.songs.start == 0:
            rows = _read_rows(block)
        found = list(islice(rows, len(block.songs)))
        if len(found) < len(block.songs):
            raise _damaged(block)
        yield block, found


def _read_rows(block: SongBlock) -> Iterator[str]:
    try:
        with (block.shard.path / _SONGS).open(encoding="utf-8") as file:
            yield from file
    except (OSError, ValueError):
        raise _damaged(block) from None


def _parse(row: str, block: SongBlock) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(row)
        parsed["id"], parsed["sections"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(block) from None
    return parsed


def _damaged(block: SongBlock) -> UserError:
    return UserError(f"{block.shard.path / _SONGS}: damaged; make {block.shard.path} again")


def write_sources(directory: Path, shards: list[Shard]) -> dict[str, Any]:
    """Write sources.jsonl: the rows of all shards. Returns their number and the names in the first of them."""
    count, first = 0, list[str]()
    with (directory / "sources.jsonl").open("wb") as file:
        for shard in shards:
            with (shard.path / "sources.jsonl").open("rb") as rows:
                for row in rows:
                    file.write(row)
                    count += 1
                    if count <= _NAMED_SOURCES:
                        first.append(json.loads(row)["name"])
    return {"count": count, "first": first}
