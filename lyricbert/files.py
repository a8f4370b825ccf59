"""Writes files and directories. Incomplete output never has its final name."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from safetensors import SafetensorError

from lyricbert.errors import UserError, clean_up_at_signal


@contextmanager
def write_errors_as_user_error(path: Path, advice: str) -> Iterator[None]:
    """Re-raise a write error in, next to or above `path`, for example a full disk, as a `UserError` with `advice`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        filename = getattr(error, "filename", None)
        file = path if filename is None else Path(os.fsdecode(filename))
        if path.parent not in file.parents and file not in path.parents:
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({reason}); {advice}") from None


@contextmanager
def new_directory(path: Path, inside: Path | None = None) -> Iterator[Path]:
    """Create a directory under a temporary name, and rename it to `path` when the block ends without an error.

    `inside`: where it is until then; None: beside `path`. After an error or a signal, the directory is removed, and so
    are the parents that were created for it. After a kill it is left. Raises `UserError` if `path` exists or cannot be
    written.
    """
    refuse_existing(path)
    temporary = (inside or path.parent) / f".{path.name}.tmp-{os.getpid()}"
    remove = remover(temporary)
    with clean_up_at_signal(remove):
        try:
            with write_errors_as_user_error(path, "free some space or give another --out"):
                temporary.mkdir(parents=True)
                yield temporary
                temporary.rename(path)
        finally:
            remove()


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a file. When the block ends, sync the file to disk and rename it to `path`.

    Replaces an existing file. After an error or a signal, the temporary file is removed. After a kill it is left; see
    `temporary_files`.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")

    def remove() -> None:
        temporary.unlink(missing_ok=True)

    with clean_up_at_signal(remove):
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            remove()


def temporary_files(directory: Path) -> list[Path]:
    """What `write_atomically` left in `directory` when its process was killed."""
    return list(directory.glob(".*.tmp-*"))


def sync(path: Path) -> None:
    """Wait until a file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_existing(path: Path) -> None:
    """Raise `UserError` if `path` exists, also as a broken link."""
    if os.path.lexists(path):
        raise UserError(f"{path}: exists already and is not overwritten; give another --out or remove it")


def remover(directory: Path) -> Callable[[], None]:
    """A function that removes `directory`, and its parents that do not exist yet, if they are empty then."""
    new_parents = [parent for parent in directory.parents if not parent.exists()]

    def remove() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        for parent in new_parents:
            with suppress(OSError):
                parent.rmdir()

    return remove


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON in UTF-8."""
    path.write_text(as_json(content), encoding="utf-8")


def as_json(content: object) -> str:
    """The text that `write_json` writes."""
    return json.dumps(content, indent=2) + "\n"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(directory: Path) -> list[str]:
    """The names of all files in `directory` and its subdirectories, relative to it, sorted."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def unused_name(path: Path) -> Path:
    """`path` if it does not exist, otherwise the first of `path-2`, `path-3`, ... that does not exist."""
    candidates = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return path if not path.exists() else next(candidate for candidate in candidates if not candidate.exists())
