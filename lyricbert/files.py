"""Writing files and directories so that nothing is overwritten and nothing half-made is taken for whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from safetensors import SafetensorError

from lyricbert.errors import UserError, clean_up_at_signal


@contextmanager
def write_errors_as_user_error(path: Path, advice: str) -> Iterator[None]:
    """Turn a failure to write something in or beside `path`, such as a full disk, into a `UserError` with `advice`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        filename = getattr(error, "filename", None)
        if filename is not None and path.parent not in Path(filename).parents:
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({reason}); {advice}") from None


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory under a temporary name that takes the name `path` once the block has ended without an error.

    After an error or a signal, neither the directory nor the parents that were made for it are left.
    """
    if path.exists():
        raise UserError(f"{path}: exists already and is not overwritten; give another --out or remove it")
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    new_parents = [parent for parent in path.parents if not parent.exists()]

    def remove() -> None:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in new_parents:
            with suppress(OSError):  # it is not empty: `path` is in it
                parent.rmdir()

    with clean_up_at_signal(remove):
        try:
            with write_errors_as_user_error(path, "free some space or give another --out"):
                temporary.mkdir(parents=True)
                yield temporary
                temporary.rename(path)
        finally:
            remove()


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON in UTF-8."""
    path.write_text(as_json(content), encoding="utf-8")


def as_json(content: object) -> str:
    """The text that `write_json` writes."""
    return json.dumps(content, indent=2) + "\n"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unused_name(path: Path) -> Path:
    """`path` if nothing has that name, else `path` with the first free number from 2 on: `path-2`."""
    candidates = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return path if not path.exists() else next(candidate for candidate in candidates if not candidate.exists())
