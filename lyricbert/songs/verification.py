"""Find damage in a token store, by the SHA-256 sums in its meta.json."""

import hashlib
from pathlib import Path
from typing import Any

from lyricbert.errors import UserError
from lyricbert.files import as_json, sha256_of
from lyricbert.songs.store import open_store


def sums_of_other_files(store: Path) -> dict[str, str]:
    """The SHA-256 of each file of a store, except its arrays and meta.json. Names are relative to the store."""
    files = (path for path in store.rglob("*") if path.is_file())
    names = sorted(path.relative_to(store).as_posix() for path in files)
    return {name: sha256_of(store / name) for name in names if not name.endswith(".npy") and name != "meta.json"}


def sum_of(meta: dict[str, Any]) -> str:
    """The SHA-256 of a meta.json, without the field that holds it."""
    return hashlib.sha256(
        as_json({name: value for name, value in meta.items() if name != "sha256"}).encode()
    ).hexdigest()


def verify_store(path: Path) -> int:
    """Compare all files of a store with their sums. Returns their number.

    Raises `UserError`, with the file's name, if one of them is missing or was changed.
    """
    meta = open_store(path).meta
    if meta.get("sha256") != sum_of(meta):
        raise _damaged(path / "meta.json")
    sums = {f"{name}.npy": description["sha256"] for name, description in meta["arrays"].items()} | meta["files"]
    for name, expected in sums.items():
        try:
            found = sha256_of(path / name)
        except OSError as error:
            raise UserError(f"{path / name}: cannot be read ({error.strerror}); prepare the store again") from None
        if found != expected:
            raise _damaged(path / name)
    return len(sums) + 1


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: damaged, because its content does not match its checksum; prepare the store again")
