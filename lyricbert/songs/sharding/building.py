"""Build a shard of records: clean and tokenize the songs, and compute their keys and signatures.

Worker processes do this, so nothing here may import torch or transformers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lyricbert.files import sha256_of
from lyricbert.songs.cleaning import Cleaned, clean
from lyricbert.songs.formats import LyricsFile
from lyricbert.songs.formats.streams import read_errors_as_user_error
from lyricbert.songs.groups import group_starts, group_sums, sequence_keys, take_groups
from lyricbert.songs.line_tokenizer import LineTokenizer
from lyricbert.songs.record import Record
from lyricbert.songs.sharding.cutting import Batch
from lyricbert.songs.sharding.shard import write_shard
from lyricbert.songs.sharding.work_directory import shard_path
from lyricbert.songs.signatures import signatures
from lyricbert.songs.words import line_keys, song_keys, word_hashes

Songs = Sequence[tuple[Record, Cleaned]]


@dataclass(frozen=True)
class ShardBuilder:
    """Makes the shard of a batch in `directory`."""

    directory: Path
    tokenizer: LineTokenizer

    def __call__(self, batch: Batch) -> int:
        """Returns the number of records. Raises `UserError`."""
        dropped: Counter[str] = Counter()
        arrays, rows = build_shard(batch.records, self.tokenizer, dropped)
        sources = ({"name": _writable(file.path.name), "sha256": _hash_file(file)} for file in batch.files)
        write_shard(shard_path(self.directory, batch.number), arrays, rows, sources, dropped)
        return len(batch.records)


def _writable(name: str) -> str:
    """The name of a file without the lone surrogates that stand for bytes that are not UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _hash_file(file: LyricsFile) -> str | None:
    """None for standard input, which cannot be read twice."""
    if file.is_standard_input:
        return None
    with read_errors_as_user_error(file):
        return sha256_of(file.path)


def build_shard(
    records: Sequence[Record], tokenizer: LineTokenizer, dropped: Counter[str]
) -> tuple[dict[str, np.ndarray], Iterator[dict[str, Any]]]:
    """(the arrays of a shard, the rows of its songs.jsonl), as `lyricbert.songs.sharding.shard` describes them.

    `dropped` counts what is removed or changed, by reason.
    """
    cleaned = [(record, clean(record.lyrics, dropped, record.title)) for record in records]
    songs = [song for song in cleaned if song[1].sections]
    dropped["songs without words"] += len(cleaned) - len(songs)
    sections = [section for _, song in songs for section in song.sections]
    # Choruses repeat, so each distinct line is processed once. `line`: the distinct line of each line.
    places: dict[str, int] = {}
    line = np.array([places.setdefault(text, len(places)) for section in sections for text in section], np.int64)
    distinct = list(places)

    section_lines, song_sections = _lengths(sections), _lengths([song.sections for _, song in songs])
    song_lines = group_sums(section_lines, song_sections)
    hashes, words = word_hashes(distinct)
    keys = line_keys(hashes, words)[line]
    ids, lengths, cut = tokenizer.encode(distinct)
    dropped["lines cut at --max-tokens (kept)"] += int(np.count_nonzero(cut[line]))
    part_lines, parts = _split_sections(lengths[line], section_lines, tokenizer.limit)
    dropped["sections split at --max-tokens (kept)"] += len(part_lines) - len(sections)
    arrays = {
        "tokens": take_groups(ids, lengths, line),
        "line_lengths": lengths[line],
        "line_keys": keys,
        "token_keys": sequence_keys(ids, lengths)[line],
        "section_lines": part_lines,
        "song_sections": group_sums(parts, song_sections),
        "song_keys": song_keys(keys, song_lines),
        "signatures": signatures(take_groups(hashes, words, line), group_sums(words[line], song_lines)),
    }
    return arrays, _rows(songs, parts)


def _rows(songs: Songs, parts: np.ndarray) -> Iterator[dict[str, Any]]:
    parts_of_sections = iter(parts.tolist())
    for record, cleaned in songs:
        counts = islice(parts_of_sections, len(cleaned.sections))
        names = [name for name, count in zip(cleaned.names, counts, strict=True) for _ in range(count)]
        yield {
            "id": record.id,
            "title": record.title,
            "artist": record.artist,
            "genre": record.genre,
            "language": record.language,
            "sections": names,
        }


def _split_sections(lengths: np.ndarray, section_lines: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """(lines of each part, int64 [parts]; parts of each section, int64 [sections]). Most sections have one part.

    `lengths`: tokens of each line; a line of 0 tokens takes no place. A part has at most `limit` tokens: [CLS], and the
    tokens of its lines with a [SEP] after each line.
    """
    places = np.where(lengths > 0, lengths + 1, 0)
    long = {
        section: _fill_parts(places[start:end].tolist(), limit)
        for section, start, end in _long_sections(places, section_lines, limit)
    }
    parts = np.ones(len(section_lines), np.int64)
    parts[list(long)] = [len(lines) for lines in long.values()]
    part_lines = np.repeat(section_lines, parts)
    first = group_starts(parts)
    for section, lines in long.items():
        part_lines[first[section] : first[section] + len(lines)] = lines
    return part_lines, parts


def _long_sections(places: np.ndarray, section_lines: np.ndarray, limit: int) -> Iterator[tuple[int, int, int]]:
    """(section, its first line, the line after it) of each section that does not fit into `limit` tokens."""
    ends = np.cumsum(section_lines)
    for section in np.flatnonzero(1 + group_sums(places, section_lines) > limit).tolist():
        yield section, int(ends[section] - section_lines[section]), int(ends[section])


def _fill_parts(places: list[int], limit: int) -> list[int]:
    """The number of lines of each part, if parts are filled with lines that take so many places."""
    parts, length = [0], 1
    for place in places:
        if length + place > limit:
            parts.append(0)
            length = 1
        parts[-1] += 1
        length += place
    return parts


def _lengths(groups: Sequence[Sized]) -> np.ndarray:
    return np.fromiter(map(len, groups), np.int64, len(groups))
