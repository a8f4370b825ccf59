"""Writing files and directories so that nothing is overwritten and nothing half-made is taken for whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lyricbert.errors import UserError


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory under a temporary name that takes the name `path` once the block has ended without an error."""
    if path.exists():
        raise UserError(f"{path}: exists already and is not overwritten; give another --out or remove it")
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); give another --out") from None
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON in UTF-8."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
