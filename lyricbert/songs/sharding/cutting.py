"""Cut the records of all files into batches, each of which becomes a shard."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from lyricbert.errors import UserError
from lyricbert.songs.formats import LyricsFile
from lyricbert.songs.record import Record

BATCH_CHARACTERS = 2**20
# Counted for each record besides its lyrics, so that a batch of many tiny songs is small too.
_RECORD_CHARACTERS = 64

ReadRecords = Callable[[LyricsFile, Counter[str]], Iterator[Record]]


@dataclass(frozen=True)
class Rows:
    """Records `start` to `stop`, counted over all files from 0. `stop` is not included; None: up to the last one."""

    start: int = 0
    stop: int | None = None

    def __str__(self) -> str:
        return f"{self.start}:{'' if self.stop is None else self.stop}"


def parse_rows(text: str) -> Rows:
    """The rows that A:B or A: stands for. Raises `UserError`."""
    found = re.fullmatch(r"(\d{1,18}):(\d{1,18})?", text)
    if found is None or (found[2] and int(found[1]) >= int(found[2])):
        raise UserError(f"--rows {text}: must be A:B, two numbers with A less than B, or A: up to the last row")
    return Rows(int(found[1]), int(found[2]) if found[2] else None)


@dataclass
class Batch:
    """Records that lie one after the other in the sources, and the files that begin between them."""

    number: int
    records: list[Record] = field(default_factory=list)
    files: list[LyricsFile] = field(default_factory=list)
    characters: int = 0

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.characters += len(record.lyrics) + _RECORD_CHARACTERS


def cut_into_batches(
    files: Iterable[LyricsFile],
    read_records: ReadRecords,
    rows: Rows,
    dropped: Counter[str],
    characters: int = BATCH_CHARACTERS,
) -> Iterator[Batch]:
    """Yield the records of `rows` in batches of about so many characters of lyrics.

    Each file belongs to one batch of one range of rows, and so does each record that `read_records` drops. `dropped`
    is to count only what is dropped in these rows, so it is cleared at their start.
    """
    batch, position = Batch(0), 0
    for file in files:
        if position >= rows.start:
            batch.files.append(file)
        for record in read_records(file, dropped):
            if position >= rows.start:
                batch.add(record)
            position += 1
            if position == rows.start:
                dropped.clear()
            if position == rows.stop:
                yield batch
                return
            if batch.characters >= characters:
                yield batch
                batch = Batch(batch.number + 1)
    if position < rows.start:
        dropped.clear()
    if batch.records or batch.files:
        yield batch


def find_ranges(files: Iterable[LyricsFile], read_records: ReadRecords, count: int) -> list[Rows]:
    """At most `count` ranges of rows with about the same number of characters. Reads all files."""
    records = (record for file in files for record in read_records(file, Counter()))
    ends = np.cumsum(np.fromiter((len(record.lyrics) + _RECORD_CHARACTERS for record in records), np.int64))
    if not len(ends):
        return []
    count = min(count, len(ends))
    # The record that reaches each share of all characters is the last of its range.
    stops = np.unique(np.searchsorted(ends, ends[-1] * np.arange(1, count) / count) + 1).tolist()
    inner = [stop for stop in stops if stop < len(ends)]
    return [Rows(start, stop) for start, stop in zip([0, *inner], [*inner, None], strict=True)]
