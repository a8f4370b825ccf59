"""Helpers of the tests that read lyrics files."""

from collections import Counter
from pathlib import Path

from lyricbert.songs.formats import ReadOptions, list_files, read_records
from lyricbert.songs.record import Record


def read(source: Path, **options: object) -> list[Record]:
    """The songs of a file or folder."""
    return read_and_count(source, **options)[0]


def read_and_count(source: Path, **options: object) -> tuple[list[Record], dict[str, int]]:
    """The songs of a file or folder, and what was left out, by reason."""
    dropped: Counter[str] = Counter()
    files = list_files([source], dropped)
    records = [record for file in files for record in read_records(file, ReadOptions(**options), dropped)]
    return records, dict(+dropped)


def lines(record: Record) -> list[str]:
    """The lines of a song that are not blank."""
    return [line.strip() for line in record.lyrics.splitlines() if line.strip()]
