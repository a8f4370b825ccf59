"""The directory in which `prepare` collects shards. The same command continues from it after a signal or a kill."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lyricbert.errors import Interrupted, UserError, clean_up_at_signal
from lyricbert.files import as_json, refuse_existing, remover, write_errors_as_user_error
from lyricbert.runtime.lock import LOCK, lock_run_directory

_MADE_FROM = "made-from.json"
_SHARDS = "shard-*"


def shard_path(directory: Path, number: int) -> Path:
    """The shard of this number in a work directory or a part."""
    return directory / f"shard-{number:06}"


def shards_in(directory: Path) -> list[Path]:
    """The finished shards of a work directory or a part, in the order of their records."""
    return sorted(directory.glob(_SHARDS), key=lambda path: (len(path.name), path.name))


@contextmanager
def work_directory(out: Path, made_from: dict[str, Any]) -> Iterator[Path]:
    """The directory for the shards of `out`, beside it, with the shards that an interrupted command has left.

    `made_from`: what the shards depend on, as JSON. Shards that were made from something else are removed, and a line
    says so. The directory is removed at the end of the block, also after a `UserError`. Finished shards stay after a
    signal, a kill or `Interrupted`. Raises `UserError` if `out` exists, or while another process has the directory.
    """
    refuse_existing(out)
    directory = out.with_name(f".{out.name}.shards")
    remove = remover(directory)

    def keep_finished_shards() -> str | None:
        if not shards_in(directory):
            return remove()
        _remove_except(directory, {LOCK, _MADE_FROM, *(path.name for path in shards_in(directory))})
        return "Run the same command to continue."

    with lock_run_directory(directory), clean_up_at_signal(keep_finished_shards):
        try:
            refuse_existing(out)  # another process may have finished it in the meantime
            with write_errors_as_user_error(directory, "free some space or give another --out"):
                _remove_unusable_shards(directory, as_json(made_from))
            yield directory
        except Interrupted:
            keep_finished_shards()
            raise
        except UserError:
            remove()
            raise
        remove()


def _remove_unusable_shards(directory: Path, made_from: str) -> None:
    note = directory / _MADE_FROM
    if note.exists() and note.read_text(encoding="utf-8") == made_from:
        _remove_except(directory, {LOCK, _MADE_FROM, *(path.name for path in shards_in(directory))})
        return
    if shards_in(directory):
        print(
            f"{directory}: its shards were made by another command or version, or from other files; starting anew",
            file=sys.stderr,
        )
    _remove_except(directory, {LOCK})
    note.write_text(made_from, encoding="utf-8")


def _remove_except(directory: Path, names: set[str]) -> None:
    for path in directory.iterdir():
        if path.name in names:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
