"""A part: shards of some rows of the sources, made by one job of several. `prepare --join` makes a store of parts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyricbert.errors import UserError
from lyricbert.files import write_json
from lyricbert.songs.work_directory import shards_in

_DESCRIPTION = "part.json"


@dataclass(frozen=True)
class Part:
    """A directory with shards, `tokenizer/` and part.json, which is `description`: what the shards were made of."""

    path: Path
    description: dict[str, Any]

    @property
    def shards(self) -> list[Path]:
        return shards_in(self.path)


def write_part(path: Path, description: dict[str, Any]) -> Part:
    """Make a part of the directory `path`, which has all shards."""
    write_json(path / _DESCRIPTION, description)
    return Part(path, description)


def is_part(path: Path) -> bool:
    return (path / _DESCRIPTION).is_file()


def open_part(path: Path) -> Part:
    """Raises `UserError` if the part is damaged."""
    try:
        description = json.loads((path / _DESCRIPTION).read_text(encoding="utf-8"))
        description["dropped"], description["tokenizer"]["fingerprint"], description["format_version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path / _DESCRIPTION}: damaged; make this part again") from None
    return Part(path, description)
