"""The directory in which `prepare` collects shards. The same command continues from it after a signal or a kill."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lyricbert.errors import Interrupted, UserError, clean_up_at_signal
from lyricbert.files import as_json, refuse_existing, remover
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
def work_directory(out: Path) -> Iterator[Path]:
    """The directory for the shards of `out`, beside it, perhaps with those that an interrupted command has left.

    It holds nothing else at the start of the block, and is removed at its end. After a signal, a kill or `Interrupted`,
    finished shards stay, also after a `UserError` if there were some before: a mistake in the second command must not
    cost the work of the first. Raises `UserError` if `out` exists, or while another process has the directory.
    """
    refuse_existing(out)
    directory = out.with_name(f".{out.name}.shards")
    remove = remover(directory)

    def keep_finished_shards() -> str | None:
        if not shards_in(directory):
            return remove()
        _remove_all_but_shards(directory)
        return "Run the same command to continue."

    with lock_run_directory(directory), clean_up_at_signal(keep_finished_shards):
        continues = bool(shards_in(directory))
        try:
            refuse_existing(out)  # the process that had the lock may have finished it
            _remove_all_but_shards(directory)  # a killed command has left more
            yield directory
        except Interrupted:
            keep_finished_shards()
            raise
        except UserError:
            if continues:
                keep_finished_shards()
            else:
                remove()
            raise
        remove()


def remove_unusable_shards(directory: Path, made_from: dict[str, Any]) -> None:
    """Remove the shards that were made from something else, and print a line about it.

    `made_from`: what shards depend on, as JSON.
    """
    note, content = directory / _MADE_FROM, as_json(made_from)
    if not note.exists() or note.read_text(encoding="utf-8") != content:
        if shards := shards_in(directory):
            reason = "were made by another command or version, or of other files"
            print(f"{directory}: removed {len(shards)} shards, which {reason}", file=sys.stderr)
        for shard in shards:
            shutil.rmtree(shard)
        note.write_text(content, encoding="utf-8")


def _remove_all_but_shards(directory: Path) -> None:
    """Also keeps the lock and the note about what the shards were made of."""
    for path in directory.iterdir():
        if path.name in (LOCK, _MADE_FROM) or path.match(_SHARDS):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
