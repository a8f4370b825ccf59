"""Write the arrays of a token store block by block."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from lyricbert.songs.array_files import ArrayWriter, OffsetsWriter
from lyricbert.songs.groups import group_sums, sequence_keys
from lyricbert.songs.joining.counts import SplitCounts
from lyricbert.songs.joining.duplicates import FIRST, KEPT, first_occurrences
from lyricbert.songs.joining.song_blocks import SongBlock
from lyricbert.songs.store import TRAIN, VALIDATION


@dataclass(frozen=True)
class Decisions:
    """Which songs and lines of all shards are written, and to which split.

    `original`: int64 [songs], the song that is written instead of each song, itself if it is no duplicate. `split`:
    uint8 [songs]. `flags`: uint8 [lines], see `lyricbert.songs.joining.duplicates`.
    """

    original: np.ndarray
    split: np.ndarray
    flags: np.ndarray


def write_arrays(directory: Path, blocks: list[SongBlock], decisions: Decisions) -> dict[int, SplitCounts]:
    """Write the arrays of a store. Returns the counts of each split."""
    total = blocks[-1].sections.of_all.stop
    section_keys, section_split, sections = np.empty(total, np.int64), np.empty(total, np.uint8), 0
    counts = {TRAIN: SplitCounts(), VALIDATION: SplitCounts()}
    with ExitStack() as stack:
        writers = {name: stack.enter_context(writer) for name, writer in _open_writers(directory, blocks[0]).items()}
        for block, tokens in _with_tokens(blocks):
            kept = _kept_part(block, tokens, decisions)
            for name, writer in writers.items():
                writer.append(kept[name])
            here = slice(sections, sections := sections + len(kept["section_offsets"]))
            section_keys[here] = sequence_keys(kept["line_keys"], kept["section_offsets"])
            section_split[here] = np.repeat(kept["song_split"], kept["song_offsets"])
            for side, count in counts.items():
                _count(kept, side, count)
    first = first_occurrences(section_keys[:sections], section_split[:sections])
    np.save(directory / "section_first.npy", first, allow_pickle=False)
    return counts


def _open_writers(directory: Path, block: SongBlock) -> dict[str, ArrayWriter]:
    """The writers of all arrays except `section_first`, which needs the keys of all sections."""
    tokens, signatures = (block.shard.columns[name].read(0, 0) for name in ("tokens", "signatures"))
    plain: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {
        "tokens": (tokens.dtype, ()),
        "song_split": (np.uint8, ()),
        "line_first": (np.bool_, ()),
        "song_keys": (np.int64, ()),
        "line_keys": (np.int64, ()),
        "signatures": (signatures.dtype, signatures.shape[1:]),
    }
    offsets = ("line_offsets", "section_offsets", "song_offsets")
    return {
        **{name: ArrayWriter(directory / f"{name}.npy", np.dtype(kind), row) for name, (kind, row) in plain.items()},
        **{name: OffsetsWriter(directory / f"{name}.npy") for name in offsets},
    }


def _with_tokens(blocks: list[SongBlock]) -> Iterator[tuple[SongBlock, np.ndarray]]:
    """Yield each block with the tokens of its lines."""
    position = 0
    for block in blocks:
        start = position if block.songs.start else 0  # else the shard begins
        position = start + int(block.read("line_lengths").sum(dtype=np.int64))
        yield block, block.shard.columns["tokens"].read(start, position)


def _kept_part(block: SongBlock, tokens: np.ndarray, decisions: Decisions) -> dict[str, np.ndarray]:
    """What is written of a block, for each array. Arrays of offsets have lengths instead."""
    flags = decisions.flags[block.lines.of_all]
    line, line_lengths = flags & KEPT > 0, block.read("line_lengths")
    section_lines = group_sums(line, block.read("section_lines"))
    song_sections = group_sums(section_lines > 0, block.read("song_sections"))
    song = song_sections > 0
    return {
        "tokens": tokens[np.repeat(line, line_lengths)],
        "line_offsets": line_lengths[line],
        "section_offsets": section_lines[section_lines > 0],
        "song_offsets": song_sections[song],
        "song_split": decisions.split[block.songs.of_all][song],
        "line_first": (flags & FIRST > 0)[line],
        "song_keys": block.read("song_keys")[song],
        "line_keys": block.read("line_keys")[line],
        "signatures": block.read("signatures")[song],
    }


def _count(kept: dict[str, np.ndarray], side: int, counts: SplitCounts) -> None:
    """Add what is in one split."""
    song = kept["song_split"] == side
    section = np.repeat(song, kept["song_offsets"])
    line = np.repeat(section, kept["section_offsets"])
    counts.songs += int(np.count_nonzero(song))
    counts.sections += int(np.count_nonzero(section))
    counts.lines += int(np.count_nonzero(line))
    counts.tokens += int(kept["line_offsets"][line].sum(dtype=np.int64))
    counts.add_lengths(kept["line_offsets"][line & kept["line_first"]])
