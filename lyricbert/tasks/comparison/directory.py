"""The directory OUT of a comparison.

    comparison.json     the flags of the last command; marks the directory as that of a comparison
    results/            the results of finished pieces, see `results`
    report.md           the report, for people
    report.json         the report, for programs; written last

report.json exists only if the last command has finished. So a launcher can look for it.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lyricbert.config import to_json
from lyricbert.errors import UserError
from lyricbert.evaluation.report import format_report
from lyricbert.files import as_json, temporary_files, write_atomically, write_errors_as_user_error
from lyricbert.runtime.lock import LOCK, lock_run_directory
from lyricbert.tasks.comparison.results import ResultStore
from lyricbert.tasks.config import CompareConfig

_MARK = "comparison.json"
_REMEDY = "free some space or give another --out"
# Another node may see a new directory late. NFS takes up to a minute.
_WAIT_SECONDS = 120


def check_directory(out: Path) -> None:
    """Raise `UserError` if OUT exists, unless it is empty or the directory of a comparison."""
    if os.path.lexists(out) and not (out.is_dir() and ((out / _MARK).is_file() or not _is_filled(out))):
        raise UserError(f"{out}: exists and is not the directory of a comparison; give another --out")


def _is_filled(out: Path) -> bool:
    """True if the directory contains anything besides the lock file and temporary files."""
    return bool({*out.iterdir()} - {out / LOCK, *temporary_files(out)})


@contextmanager
def hold_directory(config: CompareConfig, results: ResultStore, found: set[str]) -> Iterator[None]:
    """Create OUT if needed, and hold its lock for the duration of the block.

    Removes the report of an earlier command, so that no launcher takes it for the new one. `found`: names of the pieces
    that had a result when the work was planned. Raises `UserError` if another command has the lock or has added results
    since then, or if OUT is not writable.
    """
    out = config.out
    with lock_run_directory(out):
        check_directory(out)
        if results.stored_names()[0] != found:
            raise UserError(f"{out}: another command has just changed it; run the same command again")
        with write_errors_as_user_error(out, _REMEDY):
            for path in (out / "report.json", out / "report.md"):
                path.unlink(missing_ok=True)
            _write(out / _MARK, as_json(to_json(config)))
            results.directory.mkdir(exist_ok=True)
            for path in [*temporary_files(out), *temporary_files(results.directory)]:
                path.unlink(missing_ok=True)
        yield


def wait_until_visible(results: ResultStore, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until this process sees the directory that rank 0 made. Raises `UserError` after two minutes."""
    for _ in range(_WAIT_SECONDS):
        if results.directory.is_dir():
            return
        sleep(1.0)
    raise UserError(f"{results.out}: only some nodes see it; give an --out on a file system that all nodes share")


def write_report(out: Path, report: dict[str, Any]) -> None:
    """Write report.md, then report.json. Raises `UserError` on a write error."""
    with write_errors_as_user_error(out, "free some space and run the same command again"):
        _write(out / "report.md", format_report(report))
        _write(out / "report.json", as_json(report))


def _write(path: Path, text: str) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
