"""A shard: songs that are cleaned and tokenized. `join` makes a token store of shards.

A shard still has duplicate songs and lines, and no split. It is a directory with these files:

    tokens          uint16 or uint32 [tokens], no special tokens
    line_lengths    int32 [lines], in tokens; 0 if the tokenizer knows no token of the line, which the join then drops
    line_keys       int64 [lines], keys of the words of each line (lyricbert.songs.words)
    token_keys      int64 [lines], keys of the token ids of each line, after it was cut at --max-tokens
    section_lines   int32 [sections], lines of each section
    song_sections   int32 [songs], sections of each song
    song_keys       int64 [songs], keys of all lines of each song
    signatures      uint8 [songs, 128], MinHash of the words of each song (lyricbert.songs.signatures)
    songs.jsonl     a JSON object a song: id, title, artist, genre, language, and the names of its sections
    sources.jsonl   a JSON object for each file that begins in this shard: name and SHA-256
    shard.json      what was dropped, and why; written last

Keys of songs and signatures are computed from the whole text, so they do not depend on the tokenizer or --max-tokens.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lyricbert.files import new_directory, write_json

ARRAYS = {
    "tokens": None,
    "line_lengths": "int32",
    "line_keys": "int64",
    "token_keys": "int64",
    "section_lines": "int32",
    "song_sections": "int32",
    "song_keys": "int64",
    "signatures": "uint8",
}


def write_shard(
    path: Path,
    arrays: dict[str, np.ndarray],
    rows: Iterable[dict[str, Any]],
    sources: Iterable[dict[str, Any]],
    dropped: Counter[str],
) -> None:
    """Write a shard under a temporary name, and rename it to `path` when it is complete.

    `arrays`: one for each name in `ARRAYS`; `tokens` must be uint16 or uint32. `rows` and `sources`: the lines of
    songs.jsonl and sources.jsonl. Raises `UserError` if `path` exists or cannot be written.
    """
    with new_directory(path) as directory:
        for name, kind in ARRAYS.items():
            array = arrays[name] if kind is None else arrays[name].astype(kind, copy=False)
            np.save(directory / f"{name}.npy", array, allow_pickle=False)
        for name, objects in (("songs.jsonl", rows), ("sources.jsonl", sources)):
            with (directory / name).open("w", encoding="utf-8") as file:
                file.writelines(map(as_line, objects))
        write_json(directory / "shard.json", {"dropped": {key: count for key, count in dropped.items() if count}})


def as_line(row: dict[str, Any]) -> str:
    """A line of songs.jsonl or sources.jsonl."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_dropped(path: Path) -> dict[str, int]:
    """What was dropped in a shard, by reason. Raises `OSError`, `ValueError` or `KeyError` if it is damaged."""
    dropped: dict[str, int] = json.loads((path / "shard.json").read_text(encoding="utf-8"))["dropped"]
    return dropped
