"""Read one lyrics file of any kind, and leave out the songs that the user does not want."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice

from lyricbert.songs.formats.errors import NoLyricsError
from lyricbert.songs.formats.fields import label
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.json_songs import read_json, read_jsonl
from lyricbert.songs.formats.lrc import read_lrc
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.parquet import read_parquet
from lyricbert.songs.formats.tables import read_table
from lyricbert.songs.formats.text import read_text
from lyricbert.songs.record import Record

_READERS: dict[str, Callable[[LyricsFile, ReadOptions], Iterator[Record]]] = {
    "txt": read_text,
    "lrc": read_lrc,
    "json": read_json,
    "jsonl": read_jsonl,
    "csv": read_table,
    "tsv": read_table,
    "parquet": read_parquet,
}


def read_records(file: LyricsFile, options: ReadOptions, dropped: Counter[str]) -> Iterator[Record]:
    """Yield the songs of one file, in its order, as a stream.

    A song without an id gets the name of the file, and its number if the file has several songs. `dropped` counts what
    is left out, by reason. Raises `UserError` for a file that cannot be read, also in a folder: to skip it could lose
    many songs. Only a file in a folder that has no lyrics field at all is skipped.
    """
    try:
        for record in _with_ids(_READERS[file.format](file, options), label(file.stem)):
            if not record.lyrics.strip():
                dropped["songs without lyrics"] += 1
            elif _is_wanted(record, options, dropped):
                yield record
    except NoLyricsError:
        if file.named:
            raise
        dropped[f"files of kind .{file.format} without lyrics (skipped)"] += 1


def _with_ids(records: Iterator[Record], name: str) -> Iterator[Record]:
    first_two = list(islice(records, 2))
    for number, record in enumerate(chain(first_two, records), start=1):
        yield record if record.id else replace(record, id=name if len(first_two) == 1 else f"{name}#{number}")


def _is_wanted(record: Record, options: ReadOptions, dropped: Counter[str]) -> bool:
    for tag in options.exclude_tags:
        if tag.strip().lower() in (genre.strip() for genre in record.genre.lower().split(",")):
            dropped[f"songs with tag {tag} (--exclude-tag)"] += 1
            return False
    if not options.language:
        return True
    if not record.language:
        dropped["songs without a language (kept)"] += 1
    elif _main_language(record.language) != _main_language(options.language):
        dropped[f"songs in another language than {options.language} (--language)"] += 1
        return False
    return True


def _main_language(code: str) -> str:
    """The code without its region: "en" of "en", "EN", "en-US" and "en_GB"."""
    return code.strip().lower().replace("_", "-").partition("-")[0]
