"""Find damage in a token store, by the SHA-256 sums in its meta.json."""

from pathlib import Path

from lyricbert.errors import UserError
from lyricbert.files import sha256_of
from lyricbert.songs.store import read_meta, sum_of


def verify_store(path: Path) -> int:
    """Compare all files of a store with their sums. Returns the number of files.

    Raises `UserError`, with the file's name, if one of them is missing or was changed.
    """
    meta = read_meta(path)
    if meta.get("sha256") != sum_of(meta):
        raise _damaged(path / "meta.json")
    arrays = {f"{name}.npy": described["sha256"] for name, described in meta["arrays"].items()}
    sums = {**arrays, **meta["files"]}
    for name, expected in sums.items():
        try:
            found = sha256_of(path / name)
        except OSError as error:
            raise UserError(f"{path / name}: cannot be read ({error.strerror}); prepare the store again") from None
        if found != expected:
            raise _damaged(path / name)
    return len(sums) + 1


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: damaged, because it does not match its checksum; prepare the store again")
