"""A part: shards of some rows of the sources, made by one job of several. `prepare --join` makes a store of parts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyricbert.errors import UserError
from lyricbert.files import files_below, sha256_of, write_json
from lyricbert.songs.sharding.work_directory import shards_in
from lyricbert.songs.store import FORMAT_VERSION, PART, read_meta, sum_of
from lyricbert.songs.verification import check_sums, verify_store


@dataclass(frozen=True)
class Part:
    """A directory with `shards` and `tokenizer/`. `description`: what the shards were made of; part.json has it.

    A finished store is also a part, with itself as its only shard.
    """

    path: Path
    description: dict[str, Any]
    shards: list[Path]


def write_description(part: Part) -> None:
    """Write part.json, with the SHA-256 of all other files and of itself."""
    sums = {name: sha256_of(part.path / name) for name in files_below(part.path) if name != PART}
    document = {**part.description, "files": sums}
    write_json(part.path / PART, {**document, "sha256": sum_of(document)})


def open_part(path: Path) -> Part:
    """Open a part or a finished store, and compare its files with their sums.

    Raises `UserError` if it is missing or damaged, or of another format version.
    """
    if not (path / PART).is_file():
        verify_store(path)
        meta = read_meta(path)
        return Part(path, {**meta, "dropped": {}}, [path])  # what the store's songs lost is counted when it is joined
    try:
        description = json.loads((path / PART).read_text(encoding="utf-8"))
        version, intact = description["format_version"], description["sha256"] == sum_of(description)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        version, intact = FORMAT_VERSION, False
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: has format {version}, but this version of lyricbert reads {FORMAT_VERSION}; make it again"
        )
    if not intact:
        raise UserError(f"{path / PART}: damaged; make this part again")
    check_sums(path, description["files"], "make this part again")
    return Part(path, description, shards_in(path))


def check_that_parts_fit(parts: list[Part]) -> None:
    """Raise `UserError` if parts differ in what songs were made into, or if rows of the same sources are missing."""
    _check_equal(parts, _tokens_depend_on)
    by_sources: dict[str, list[Part]] = {}
    for part in parts:
        if "rows" in part.description:
            by_sources.setdefault(part.description["sources"], []).append(part)
    for of_same_sources in by_sources.values():
        _check_equal(of_same_sources, _rows_depend_on)
        _check_rows(of_same_sources)


def _check_equal(parts: list[Part], facts_of: Callable[[Part], dict[str, object]]) -> None:
    """Raise `UserError` unless the facts of all parts are equal."""
    first, *others = parts
    for part in others:
        for what, value in facts_of(part).items():
            if value != (expected := facts_of(first)[what]):
                raise UserError(
                    f"{part.path}: made with {what} {value}, but {first.path} with {expected}; make one again"
                )


def _tokens_depend_on(part: Part) -> dict[str, object]:
    description = part.description
    tokenizer = description["tokenizer"]
    return {
        "tokenizer": tokenizer["fingerprint"][:16],
        "--max-tokens": description["max_tokens"],
        "lyricbert": description["lyricbert"],
    }


def _rows_depend_on(part: Part) -> dict[str, object]:
    options: dict[str, object] = part.description["options"]
    return {f"the option {name}": value or "not given" for name, value in options.items()}


def _check_rows(parts: list[Part]) -> None:
    """Raise `UserError` unless each part begins where the one before it ends, from the first row to the last."""
    expected: int | None = 0
    for part in parts:
        start, stop = part.description["rows"]
        if start != expected:
            raise UserError(
                f"{part.path}: begins at row {start}, not {expected}; give all parts, in the order of their rows"
            )
        expected = stop
    if expected is not None:
        raise UserError(f"{parts[-1].path}: ends before row {expected}, and no part has that row; give all parts")
