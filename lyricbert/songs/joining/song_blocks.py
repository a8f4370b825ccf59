"""Read the songs of many shards block by block, in order and in little memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lyricbert.errors import UserError
from lyricbert.songs.array_files import ArrayFile, open_array_file
from lyricbert.songs.groups import group_sums, sequence_keys
from lyricbert.songs.sharding.shard import ARRAYS, read_dropped
from lyricbert.songs.store import ARRAYS as STORE_ARRAYS
from lyricbert.songs.store import open_store

LINES_OF_BLOCK = 2**17


class Column(Protocol):
    """An array on disk."""

    def __len__(self) -> int: ...

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Shard:
    """A shard, or a finished store that is read like one. `columns`: the arrays that `sharding.shard` describes."""

    path: Path
    columns: dict[str, Column]
    dropped: dict[str, int]


@dataclass(frozen=True)
class Span:
    """Rows `start` to `stop` of a shard, of which the first is row `first` of all shards together."""

    start: int
    stop: int
    first: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def of_all(self) -> slice:
        return slice(self.first, self.first + len(self))


@dataclass(frozen=True)
class SongBlock:
    """Some consecutive songs of a shard, with their sections and lines."""

    shard: Shard
    songs: Span
    sections: Span
    lines: Span

    def read(self, name: str) -> np.ndarray:
        """The rows of these songs in one of the shard's arrays, except `tokens`."""
        span = self.songs if name in _SONG_ARRAYS else self.sections if name == "section_lines" else self.lines
        return self.shard.columns[name].read(span.start, span.stop)


_SONG_ARRAYS = ("song_sections", "song_keys", "signatures")


def open_shard(path: Path) -> Shard:
    """Open a shard or a finished token store. Raises `UserError` if it is missing or damaged."""
    try:
        for table in ("songs.jsonl", "sources.jsonl"):
            (path / table).stat()
        if (path / "meta.json").is_file():
            return _open_store(path)
        return Shard(path, {name: open_array_file(path / f"{name}.npy") for name in ARRAYS}, read_dropped(path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); make it again") from None


def _open_store(path: Path) -> Shard:
    store = open_store(path)
    arrays = {name: open_array_file(path / f"{name}.npy") for name in STORE_ARRAYS}
    columns: dict[str, Column] = {
        "tokens": arrays["tokens"],
        "line_lengths": _Differences(arrays["line_offsets"]),
        "line_keys": arrays["line_keys"],
        "token_keys": _TokenKeys(arrays["tokens"], arrays["line_offsets"]),
        "section_lines": _Differences(arrays["section_offsets"]),
        "song_sections": _Differences(arrays["song_offsets"]),
        "song_keys": arrays["song_keys"],
        "signatures": arrays["signatures"],
    }
    return Shard(path, columns, store.meta["dropped"])


@dataclass(frozen=True)
class _Differences:
    """Lengths, read from the offsets of a store."""

    offsets: ArrayFile

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        return np.diff(self.offsets.read(start, len(self.offsets) if stop is None else stop + 1))


@dataclass(frozen=True)
class _TokenKeys:
    """Keys of the token ids of lines, computed from the tokens of a store."""

    tokens: ArrayFile
    line_offsets: ArrayFile

    def __len__(self) -> int:
        return len(self.line_offsets) - 1

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        offsets = self.line_offsets.read(start, len(self.line_offsets) if stop is None else stop + 1)
        return sequence_keys(self.tokens.read(int(offsets[0]), int(offsets[-1])), np.diff(offsets))


def song_blocks(shards: list[Shard]) -> list[SongBlock]:
    """Blocks of all songs, in order. A block has at most `LINES_OF_BLOCK` lines, or a single song."""
    blocks: list[SongBlock] = []
    first_song = first_section = first_line = 0
    for shard in shards:
        blocks.extend(_blocks_of(shard, first_song, first_section, first_line))
        first_song += len(shard.columns["song_sections"])
        first_section += len(shard.columns["section_lines"])
        first_line += len(shard.columns["line_keys"])
    return blocks


def _blocks_of(shard: Shard, first_song: int, first_section: int, first_line: int) -> Iterator[SongBlock]:
    song_sections = shard.columns["song_sections"].read()
    song_lines = group_sums(shard.columns["section_lines"].read(), song_sections)
    section_ends, line_ends = (np.concatenate([[0], np.cumsum(counts)]) for counts in (song_sections, song_lines))
    start = 0
    while start < len(song_sections):
        stop = int(np.searchsorted(line_ends, line_ends[start] + LINES_OF_BLOCK, "right")) - 1
        stop = max(stop, start + 1)
        sections, lines = ((int(ends[start]), int(ends[stop])) for ends in (section_ends, line_ends))
        yield SongBlock(
            shard,
            Span(start, stop, first_song + start),
            Span(*sections, first_section + sections[0]),
            Span(*lines, first_line + lines[0]),
        )
        start = stop
