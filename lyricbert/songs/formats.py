"""Read lyrics files of all supported kinds into `Record`s."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from lyricbert.errors import UserError
from lyricbert.songs.record import Record

LYRICS_COLUMNS = ("lyrics", "lyric", "text")
SUFFIXES = (".txt", ".json", ".jsonl", ".csv")


def list_files(sources: Iterable[Path]) -> list[Path]:
    """The lyrics files in `sources`. A folder stands for all supported files below it, sorted by path.

    Raises `UserError` for a missing path, an unsupported file, or a folder without lyrics files.
    """
    files = []
    for source in sources:
        if source.is_dir():
            found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
            if not found:
                raise UserError(f"{source}: this folder contains no {', '.join(SUFFIXES)} file; give another folder")
            files.extend(found)
        elif source.suffix.lower() not in SUFFIXES and source.exists():
            raise UserError(f"{source}: unsupported file type; give {', '.join(SUFFIXES)} files or folders of them")
        elif source.is_file():
            files.append(source)
        else:
            raise UserError(f"{source}: no such file or folder; check the path")
    return files


def read_records(path: Path, dropped: Counter[str]) -> Iterator[Record]:
    """Yield the songs of one file. `dropped` counts what is removed, by reason. Raises `UserError`."""
    reader = {".txt": _read_txt, ".json": _read_json, ".jsonl": _read_jsonl, ".csv": _read_csv}[path.suffix.lower()]
    try:
        for title, artist, lyrics in reader(path):
            if not isinstance(lyrics, str) or not lyrics.strip():
                dropped["songs without lyrics"] += 1
            else:
                yield Record(lyrics, title=str(title or ""), artist=str(artist or ""))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 (byte {error.object[error.start]:#04x}); convert it, e.g. iconv -f latin1 -t utf-8"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from None


def _read_txt(path: Path) -> Iterator[tuple[str, str, str]]:
    yield path.stem, path.parent.name, path.read_text(encoding="utf-8-sig")


def _read_json(path: Path) -> Iterator[tuple[object, object, object]]:
    remedy = "correct it, or name it .jsonl if each line is an object"
    songs = _songs_of_json(path.read_text(encoding="utf-8-sig"), f"{path}: not JSON", remedy)
    if not songs:
        raise UserError(f"{path}: no `lyrics` field; add one to each song")
    yield from songs


def _read_jsonl(path: Path) -> Iterator[tuple[object, object, object]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            songs = _songs_of_json(line, f"{path}: line {number} is not JSON", "correct or remove the line")
            if not songs:
                raise UserError(f"{path}: line {number} has no `lyrics` field; add one to each song")
            yield from songs


def _songs_of_json(text: str, complaint: str, remedy: str) -> list[tuple[object, object, object]]:
    try:
        return list(_find_songs(json.loads(text)))
    except json.JSONDecodeError as error:
        raise UserError(f"{complaint} ({error.msg}, line {error.lineno}); {remedy}") from None
    except (ValueError, RecursionError) as error:  # a number with thousands of digits; too many nested brackets
        raise UserError(f"{complaint} that Python can read ({error}); {remedy}") from None


def _find_songs(node: object) -> Iterator[tuple[object, object, object]]:
    """Yield the songs in a list, in one object, or in a file saved by lyricsgenius.

    lyricsgenius saves an artist as an object with `songs`, and an album as an object with `tracks`.
    """
    if isinstance(node, list):
        for item in node:
            yield from _find_songs(item)
    elif isinstance(node, dict) and "lyrics" in node:
        yield node.get("title"), node.get("artist"), node["lyrics"]
    elif isinstance(node, dict):
        for container in ("songs", "tracks", "song"):
            yield from _find_songs(node.get(container))


def _read_csv(path: Path) -> Iterator[tuple[object, object, object]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            columns = {name.strip().lower(): name for name in rows.fieldnames or () if name}
            lyrics = next((columns[name] for name in LYRICS_COLUMNS if name in columns), None)
            if lyrics is None:
                raise UserError(
                    f"{path}: no column named {' or '.join(LYRICS_COLUMNS)};"
                    f" rename the one that holds the lyrics (found: {list(columns)})"
                )
            for row in rows:
                yield row.get(columns.get("title", "")), row.get(columns.get("artist", "")), row[lyrics]
        except csv.Error as error:
            raise UserError(f"{path}: not CSV (line {rows.line_num}: {error}); correct that line") from None
