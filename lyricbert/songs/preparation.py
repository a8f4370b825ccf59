"""Prepare token stores of lyrics, parts of stores for jobs on several machines, and stores of parts."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lyricbert import __version__
from lyricbert.errors import UserError
from lyricbert.files import new_directory, write_errors_as_user_error
from lyricbert.runtime.lock import LOCK
from lyricbert.songs.joining.join import JoinSettings, UnsuitableSongs, join_shards
from lyricbert.songs.sharding.cutting import Rows, find_ranges
from lyricbert.songs.sharding.part import Part, check_that_parts_fit, open_part, write_description
from lyricbert.songs.sharding.shard_making import Lyrics, ShardSettings, make_part
from lyricbert.songs.sharding.work_directory import work_directory
from lyricbert.songs.show_cleaning import show_cleaning
from lyricbert.songs.store import write_meta


def prepare_store(shards: ShardSettings, join: JoinSettings, out: Path, workers: int) -> dict[str, Any]:
    """Write the token store `out`. Returns the content of its meta.json. Raises `UserError`."""
    with make_part(shards, out, workers) as part:
        return _join([part], join, out, shards.lyrics.sources, part.path)


def prepare_part(shards: ShardSettings, out: Path, workers: int) -> int:
    """Write the part `out`: the shards of some rows. Returns their number. Raises `UserError`."""
    with make_part(shards, out, workers) as part, write_errors_as_user_error(out, "give another --out"):
        (part.path / LOCK).unlink()
        write_description(part)
        part.path.rename(out)
        return len(part.shards)


def list_ranges(lyrics: Lyrics, count: int) -> list[Rows]:
    """At most `count` ranges of rows that are about equally long. Reads all lyrics. Raises `UserError`."""
    ranges = find_ranges(lyrics.files(Counter()), lyrics.read, count)
    if not ranges:
        raise UserError(f"{_named(lyrics.sources)}: no lyrics; check the files")
    return ranges


def show_sample(lyrics: Lyrics, count: int) -> str:
    """What cleaning changes in a sample of songs. Raises `UserError`."""
    dropped = Counter[str]()
    return show_cleaning((record for file in lyrics.files(dropped) for record in lyrics.read(file, dropped)), count)


def join_stores(paths: tuple[Path, ...], join: JoinSettings, out: Path) -> dict[str, Any]:
    """Make the store `out` of parts and stores. Returns the content of its meta.json. Raises `UserError`."""
    parts = [open_part(path) for path in paths]
    check_that_parts_fit(parts)
    with work_directory(out) as directory:
        return _join(parts, join, out, paths, directory)


def _join(parts: list[Part], join: JoinSettings, out: Path, sources: Sequence[Path], inside: Path) -> dict[str, Any]:
    """`inside`: where the store is until it is complete, so that what a kill leaves is found and removed."""
    shards = [shard for part in parts for shard in part.shards]
    dropped = Counter[str]()
    for part in parts:
        dropped.update(part.description["dropped"])
    with new_directory(out, inside) as directory:
        try:
            joined = join_shards(shards, directory, join, dropped)
        except UnsuitableSongs as error:
            raise UserError(f"{_named(sources)}: {error}") from None
        shutil.copytree(parts[0].path / "tokenizer", directory / "tokenizer")
        return write_meta(
            directory,
            {
                "lyricbert": __version__,
                "tokenizer": parts[0].description["tokenizer"],
                "max_tokens": parts[0].description["max_tokens"],
                "seed": join.seed,
                "val_fraction": join.val_fraction,
                **joined,
                "near_duplicates": {"setting": join.near_duplicates, **joined["near_duplicates"]},
            },
        )


def _named(sources: Sequence[Path]) -> str:
    return ", ".join(map(str, sources[:3])) + (" ..." if len(sources) > 3 else "")
