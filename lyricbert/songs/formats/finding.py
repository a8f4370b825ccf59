"""Find the lyrics files in the sources, and count what is skipped."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from lyricbert.errors import UserError
from lyricbert.songs.formats.files import SUPPORTED, TEXT_FORMATS, LyricsFile, format_of
from lyricbert.songs.formats.optional import import_optional

# Files of a tokenizer that look like lyrics. Those in JSON have no lyrics field.
_TOKENIZER_FILES = ("vocab.txt", "merges.txt")


def list_files(sources: Iterable[Path], dropped: Counter[str], standard_input: str | None = None) -> list[LyricsFile]:
    """The lyrics files in `sources`, in an order that depends on their names only.

    A folder stands for all supported files below it. `dropped` counts the files in it that are skipped, by kind. "-"
    stands for standard input, whose format is `standard_input`, one of `TEXT_FORMATS`.

    Raises `UserError` for a missing path, an unsupported file, a folder without lyrics files, or a missing library.
    """
    files: list[LyricsFile] = []
    for source in sources:
        if str(source) == "-":
            files.append(_standard_input(standard_input))
        elif source.is_dir():
            files.extend(_files_in_folder(source, dropped))
        else:
            files.append(_named_file(source))
    times = sum(file.is_standard_input for file in files)
    if standard_input and not times:
        raise UserError(f"--format {standard_input}: only for standard input; give - as a SOURCE, or leave it out")
    if times > 1:
        raise UserError("-: standard input can be read only once; give - once")
    _check_libraries(files)
    return files


def _standard_input(format: str | None) -> LyricsFile:
    if format is None:
        raise UserError(f"-: standard input has no suffix; say its format with --format {'|'.join(TEXT_FORMATS)}")
    if sys.stdin is None:
        raise UserError("-: standard input is closed; give it the lyrics, e.g. with a pipe")
    return LyricsFile("-", format)


def _named_file(path: Path) -> LyricsFile:
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: neither a file nor a folder; to read from a pipe, give - and --format")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    format, compression = format_of(path.name)
    if not format:
        raise UserError(f"{path}: unsupported file type; give {SUPPORTED} files or folders of them")
    return LyricsFile(str(path), format, compression)


def _files_in_folder(folder: Path, dropped: Counter[str]) -> list[LyricsFile]:
    found = []
    for location in sorted(_walk(str(folder), dropped, set())):
        parent, name = os.path.split(location)
        format, compression = format_of(name)
        if not format:
            dropped[f"{_kind_of(name)} (skipped)"] += 1
        elif name.lower() in _TOKENIZER_FILES:
            dropped["files of a tokenizer (skipped)"] += 1
        else:
            artist = "" if parent == str(folder) else os.path.basename(parent)
            found.append(LyricsFile(location, format, compression, named=False, artist=artist))
    if not found:
        raise UserError(f"{folder}: this folder contains no {SUPPORTED} file; give another folder")
    return found


def _walk(folder: str, dropped: Counter[str], visited: set[tuple[int, int]]) -> Iterator[str]:
    """The files below a folder. Links to folders are followed, but a folder is visited once.

    Hidden files, and those that macOS adds to archives, are ignored.
    """
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check the permissions of this folder") from None
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link that leads to itself
            is_folder = is_file = False
        if is_folder:
            yield from _walk(entry.path, dropped, visited)
        elif is_file:
            yield entry.path
        else:
            dropped["broken links, pipes and devices (skipped)"] += 1


def _kind_of(name: str) -> str:
    kind = re.search(r"\.[a-z0-9]{1,8}(?:\.(?:gz|zst))?$", name.lower())
    return f"files of kind {kind[0]}" if kind else "files of unknown kind"


def _check_libraries(files: list[LyricsFile]) -> None:
    for file in files:
        if file.format == "parquet":
            import_optional("pyarrow.parquet", str(file))
        if file.compression == "zst":
            import_optional("zstandard", str(file))
