"""A lyrics file: where it is, and its kind, which its name tells."""

import os
from dataclasses import dataclass
from pathlib import Path

TEXT_FORMATS = ("txt", "lrc", "json", "jsonl", "csv", "tsv")
COMPRESSIONS = ("gz", "zst")
SUPPORTED = ", ".join(f".{format}" for format in (*TEXT_FORMATS, "parquet")) + " (also as .gz or .zst)"


@dataclass(frozen=True, slots=True)
class LyricsFile:
    """A file with lyrics.

    `location`: its path as text, "-" for standard input. A text needs less memory than a `Path`, and there can be
    millions. `format`: one of `TEXT_FORMATS`, or "parquet". `compression`: one of `COMPRESSIONS`, or "". `named`: the
    user named this file; otherwise it was found in a folder. `artist`: the name of the subfolder that it was found in.
    """

    location: str
    format: str
    compression: str = ""
    named: bool = True
    artist: str = ""

    @property
    def path(self) -> Path:
        return Path(self.location)

    @property
    def stem(self) -> str:
        """The file's name without its suffixes, such as ".csv.gz"."""
        name = os.path.basename(self.location)
        suffixes = f".{self.format}" + (f".{self.compression}" if self.compression else "")
        return name[: -len(suffixes)] if name.lower().endswith(suffixes) else name

    @property
    def is_standard_input(self) -> bool:
        return self.location == "-"

    def __str__(self) -> str:
        return "standard input" if self.is_standard_input else self.location


def format_of(name: str) -> tuple[str, str]:
    """(format, compression) of a file with this name; ("", "") if it is not supported."""
    stem, _, format = name.lower().rpartition(".")
    compression = format if format in COMPRESSIONS else ""
    if compression:
        stem, _, format = stem.rpartition(".")
    supported = TEXT_FORMATS if compression else (*TEXT_FORMATS, "parquet")
    return (format, compression) if stem and format in supported else ("", "")
