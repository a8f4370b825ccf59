"""Make the shards of a part in worker processes, in a directory beside the result."""

import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lyricbert import __version__
from lyricbert.errors import UserError
from lyricbert.files import write_errors_as_user_error
from lyricbert.songs.formats import LyricsFile, ReadOptions, list_files, read_records
from lyricbert.songs.formats.streams import read_errors_as_user_error
from lyricbert.songs.line_tokenizer import LineTokenizer, SavedTokenizer
from lyricbert.songs.record import Record
from lyricbert.songs.sharding.building import ShardBuilder
from lyricbert.songs.sharding.cutting import BATCH_CHARACTERS, Batch, Rows, cut_into_batches
from lyricbert.songs.sharding.part import Part
from lyricbert.songs.sharding.work_directory import remove_unusable_shards, shard_path, shards_in, work_directory
from lyricbert.songs.sharding.workers import call_in_worker, map_in_workers
from lyricbert.songs.store import FORMAT_VERSION

_REMEDY = "free some space or give another --out"


@dataclass(frozen=True)
class Lyrics:
    """Files and folders with lyrics, and how they are read. `standard_input`: the format of the source "-"."""

    sources: tuple[Path, ...]
    standard_input: str | None
    options: ReadOptions

    def files(self, dropped: Counter[str]) -> list[LyricsFile]:
        """All files. `dropped` counts what is skipped. Raises `UserError`."""
        return list_files(self.sources, dropped, self.standard_input)

    def read(self, file: LyricsFile, dropped: Counter[str]) -> Iterator[Record]:
        """Yield the songs of a file. `dropped` counts what is left out. Raises `UserError`."""
        return read_records(file, self.options, dropped)


@dataclass(frozen=True)
class ShardSettings:
    """What shards are made of.

    `tokenizer`: a directory or a hub name. `max_tokens`: maximum length of a line or section, special tokens included;
    None: the tokenizer's, at most 512. `rows`: the records that are read; None: all. `batch_characters`: the size of a
    shard, in characters of lyrics.
    """

    lyrics: Lyrics
    tokenizer: str
    max_tokens: int | None = None
    rows: Rows | None = None
    batch_characters: int = BATCH_CHARACTERS


@contextmanager
def make_part(settings: ShardSettings, out: Path, workers: int) -> Iterator[Part]:
    """Make the shards of `settings.rows` in a directory beside `out`, which is removed at the end of the block.

    `work_directory` says what is kept after a signal or an error. `workers`: the number of processes that make shards.
    Raises `UserError`.
    """
    rows, listed, dropped = settings.rows or Rows(), Counter[str](), Counter[str]()
    files = settings.lyrics.files(listed)
    with work_directory(out) as directory, write_errors_as_user_error(directory, _REMEDY):
        saved = _save_tokenizer(settings.tokenizer, directory / "tokenizer")
        tokenizer = LineTokenizer(saved, _limit(settings.max_tokens, saved))
        description = {
            "lyricbert": __version__,
            "format_version": FORMAT_VERSION,
            "tokenizer": {"name": settings.tokenizer, "fingerprint": saved.fingerprint, "size": saved.size},
            "max_tokens": tokenizer.limit,
            "sources": _digest_of(files),
            "options": asdict(settings.lyrics.options),
            "rows": [rows.start, rows.stop],
        }
        remove_unusable_shards(directory, {**description, "batch_characters": settings.batch_characters})
        batches = cut_into_batches(files, settings.lyrics.read, rows, dropped, settings.batch_characters)
        _make_shards(batches, ShardBuilder(directory, tokenizer), workers)
        if rows.start == 0:  # what was left out before any row
            dropped.update(listed)
        yield Part(directory, {**description, "dropped": dict(dropped)}, shards_in(directory))


def _make_shards(batches: Iterable[Batch], builder: ShardBuilder, workers: int) -> None:
    """Make the shards that do not exist yet."""
    with tqdm(desc="prepare", unit=" songs", disable=None) as bar:

        def unfinished() -> Iterator[Batch]:
            for batch in batches:
                if shard_path(builder.directory, batch.number).exists():
                    bar.update(len(batch.records))
                else:
                    yield batch

        with closing(map_in_workers(builder, unfinished(), workers)) as songs:
            for count in songs:
                bar.update(count)


def _save_tokenizer(name: str, directory: Path) -> SavedTokenizer:
    """Save a tokenizer in `directory`. Raises `UserError`.

    transformers imports torch, which needs 200 MB of memory. So a process of its own does this, unless transformers is
    imported anyway.
    """
    save = partial(_load_and_save_tokenizer, name)
    return save(directory) if "transformers" in sys.modules else call_in_worker(save, directory)


def _load_and_save_tokenizer(name: str, directory: Path) -> SavedTokenizer:
    from lyricbert.songs.tokenizer import save_tokenizer

    return save_tokenizer(name, directory)


def _limit(max_tokens: int | None, tokenizer: SavedTokenizer) -> int:
    limit = max_tokens or min(tokenizer.max_length, 512)
    if not 8 <= limit < 2**31:
        raise UserError(f"--max-tokens {limit}: must be 8 or more, and less than 2^31")
    return limit


def _digest_of(files: Iterable[LyricsFile]) -> str:
    """A digest of the paths, sizes and times of change of all files. Their content is not read for it.

    Standard input has no such things, so its digest is never the same.
    """
    digest = hashlib.sha256()
    for file in files:
        if file.is_standard_input:
            facts = [time.time_ns()]
        else:
            with read_errors_as_user_error(file):
                status = os.stat(file.location)
            facts = [status.st_size, status.st_mtime_ns]
        digest.update(f"{file.location}\0{facts}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
