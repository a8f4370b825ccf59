"""Find damage in a token store, by the SHA-256 sums in its meta.json."""

from pathlib import Path

from lyricbert.errors import UserError
from lyricbert.files import sha256_of
from lyricbert.songs.store import read_meta


def verify_store(path: Path) -> int:
    """Compare all files of a store with their sums. Returns the number of files.

    Raises `UserError`, with the file's name, if one of them is missing or was changed.
    """
    meta = read_meta(path)
    arrays = {f"{name}.npy": described["sha256"] for name, described in meta["arrays"].items()}
    sums = {**arrays, **meta["files"]}
    check_sums(path, sums, "prepare the store again")
    return len(sums) + 1


def check_sums(directory: Path, sums: dict[str, str], advice: str) -> None:
    """Compare files with their SHA-256. Raises `UserError`, with the file's name, if one is missing or was changed."""
    for name, expected in sums.items():
        try:
            found = sha256_of(directory / name)
        except OSError as error:
            raise UserError(f"{directory / name}: cannot be read ({error.strerror}); {advice}") from None
        if found != expected:
            raise UserError(f"{directory / name}: damaged, because it does not match its checksum; {advice}")
