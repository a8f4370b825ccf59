"""A part: shards of some rows of the sources, made by one job of several. `prepare --join` makes a store of parts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyricbert.errors import UserError
from lyricbert.files import write_json
from lyricbert.songs.sharding.work_directory import shards_in
from lyricbert.songs.store import FORMAT_VERSION, PART, open_store


@dataclass(frozen=True)
class Part:
    """A directory with `shards`, `tokenizer/` and part.json, which is `description`: what the shards were made of.

    A finished store is also a part, with itself as its only shard.
    """

    path: Path
    description: dict[str, Any]
    shards: list[Path]


def write_part(path: Path, description: dict[str, Any]) -> Part:
    """Make a part of the directory `path`, which has all shards."""
    shards = shards_in(path)
    write_json(path / PART, {**description, "shards": len(shards)})
    return Part(path, description, shards)


def open_part(path: Path) -> Part:
    """Open a part or a finished store. Raises `UserError` if it is missing, damaged or of another format version."""
    if not (path / PART).is_file():
        meta = open_store(path).meta
        return Part(path, {**meta, "dropped": {}}, [path])  # what the store's songs lost is counted when it is joined
    try:
        description = json.loads((path / PART).read_text(encoding="utf-8"))
        version = description["format_version"]
        description["dropped"], description["tokenizer"]["fingerprint"], description["rows"][1]
        dict(description["options"]), str(description["sources"])
        count = int(description["shards"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise UserError(f"{path / PART}: damaged; make this part again") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: has format {version}, but this version of lyricbert reads {FORMAT_VERSION}; make it again"
        )
    shards = shards_in(path)
    if len(shards) != count:
        raise UserError(f"{path}: has {len(shards)} of its {count} shards; copy it again, or make it again")
    return Part(path, description, shards)


def check_that_parts_fit(parts: list[Part]) -> None:
    """Raise `UserError` if parts differ in what songs were made into, or if rows of the same sources are missing."""
    first, *others = parts
    for part in others:
        for what, value in _must_be_equal(part).items():
            if value != (expected := _must_be_equal(first)[what]):
                raise UserError(
                    f"{part.path}: made with {what} {value}, but {first.path} with {expected}; make one again"
                )
    by_sources: dict[str, list[Part]] = {}
    for part in parts:
        if "rows" in part.description:
            by_sources.setdefault(part.description["sources"], []).append(part)
    for of_same_sources in by_sources.values():
        _check_rows(of_same_sources)


def _must_be_equal(part: Part) -> dict[str, object]:
    description = part.description
    tokenizer = description["tokenizer"]
    return {
        "tokenizer": tokenizer["fingerprint"][:16],
        "--max-tokens": description["max_tokens"],
        "lyricbert": description["lyricbert"],
    }


def _check_rows(parts: list[Part]) -> None:
    """Raise `UserError` unless each part begins where the one before it ends, from the first row to the last.

    Rows are counted after songs are left out, so the flags that leave out songs must be the same.
    """
    expected: int | None = 0
    for part in parts:
        for name, value in part.description["options"].items():
            if value != (wanted := parts[0].description["options"][name]):
                raise UserError(
                    f"{part.path}: made with {name} {value!r}, but {parts[0].path} with {wanted!r}; make one again"
                )
        start, stop = part.description["rows"]
        if start != expected:
            raise UserError(
                f"{part.path}: begins at row {start}, not {expected}; give all parts, in the order of their rows"
            )
        expected = stop
    if expected is not None:
        raise UserError(f"{parts[-1].path}: ends before row {expected}, and no part has that row; give all parts")
