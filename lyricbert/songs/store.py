"""The token store: flat, memory-mapped arrays. `prepare` writes a store once; the other commands read it.

A store is a directory with `meta.json`, `tokenizer/` and these arrays. Training depends on the first seven only:

    tokens          uint16 or uint32 [tokens], no special tokens
    line_offsets    int64 [lines + 1] into tokens
    section_offsets int64 [sections + 1] into lines
    song_offsets    int64 [songs + 1] into sections
    song_split      uint8 [songs], 0 training, 1 validation
    line_first      bool [lines], True for the first of equal lines in a split
    section_first   bool [sections], True for the first of equal sections in a split
    song_keys       int64 [songs], a key of the whole text of each song
    line_keys       int64 [lines], a key of the words of each line
    signatures      uint8 [songs, 128], MinHash of the words of each song

and these tables, with a JSON object a row:

    songs.jsonl     one row a song: id, title, artist, genre, language, names of its sections; ids of its duplicates
    sources.jsonl   one row a source file: name and SHA-256
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from lyricbert.errors import UserError
from lyricbert.files import as_json, files_below, sha256_of, write_json
from lyricbert.songs.array_files import open_array_file

FORMAT_VERSION = 2
PART = "part.json"  # a directory with this file is a part of a store, see `lyricbert.songs.sharding.part`
TRAIN, VALIDATION = 0, 1
_TRAINING_ARRAYS = (
    "tokens",
    "line_offsets",
    "section_offsets",
    "song_offsets",
    "song_split",
    "line_first",
    "section_first",
)
ARRAYS = (*_TRAINING_ARRAYS, "song_keys", "line_keys", "signatures")


@dataclass(frozen=True)
class TokenStore:
    """An open store. Its arrays are memory-mapped and read-only; the module's docstring describes them."""

    path: Path
    meta: dict[str, Any]
    tokens: np.ndarray
    line_offsets: np.ndarray
    section_offsets: np.ndarray
    song_offsets: np.ndarray
    song_split: np.ndarray
    line_first: np.ndarray
    section_first: np.ndarray
    song_keys: np.ndarray
    line_keys: np.ndarray
    signatures: np.ndarray

    @property
    def tokenizer_path(self) -> str:
        return str(self.path / "tokenizer")

    @property
    def identity(self) -> str:
        """A digest of the arrays that training depends on. It does not depend on the store's path."""
        described = {name: self.meta["arrays"][name] for name in _TRAINING_ARRAYS}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def song_of_section(self) -> np.ndarray:
        """int64 [sections]: the song of each section."""
        return np.repeat(np.arange(len(self.song_split)), np.diff(self.song_offsets))

    def song_of_line(self) -> np.ndarray:
        """int64 [lines]: the song of each line."""
        return np.repeat(self.song_of_section(), np.diff(self.section_offsets))


def open_store(path: Path) -> TokenStore:
    """Open a store for reading. Raises `UserError` if it is missing, damaged or of another format version."""
    meta = read_meta(path)
    described = meta["arrays"]
    store = TokenStore(path, meta, **{name: _open_array(path / f"{name}.npy", described.get(name)) for name in ARRAYS})
    _check_offsets(store)
    return store


def read_meta(path: Path) -> dict[str, Any]:
    """The content of a store's meta.json. Raises `UserError` as `open_store` does."""
    meta_path = path / "meta.json"
    if (path / PART).is_file():
        raise UserError(
            f"{path}: is a part of a token store; join it first: python -m lyricbert.prepare --join PART..."
        )
    if not meta_path.is_file():
        raise UserError(f"{path}: not a token store (no meta.json); create one with python -m lyricbert.prepare")
    try:
        meta: dict[str, Any] = json.loads(meta_path.read_text(encoding="utf-8"))
        version = meta["format_version"]
        dict(meta["arrays"]), meta["tokenizer"]["fingerprint"], meta["tokenizer"]["name"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{meta_path}: damaged; prepare the store again") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: has store format {version}, but this version of lyricbert reads format {FORMAT_VERSION}; make it"
            " again with python -m lyricbert.prepare SOURCE --out NEW_DIRECTORY, from the same sources"
        )
    if meta.get("sha256") != sum_of(meta):
        raise UserError(f"{meta_path}: damaged, because it does not match its checksum; prepare the store again")
    return meta


def _open_array(path: Path, described: dict[str, Any] | None) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # reads .npy only, and no pickled objects
    except (OSError, ValueError, EOFError, TokenError):  # numpy reads the header with the tokenizer of Python
        raise UserError(f"{path}: missing or damaged; prepare the store again") from None
    if described is None or [list(array.shape), str(array.dtype)] != [described.get("shape"), described.get("dtype")]:
        raise UserError(f"{path}: does not match meta.json; prepare the store again")
    return array


def _check_offsets(store: TokenStore) -> None:
    """Raise `UserError` unless the lengths of all arrays match.

    Every offset array starts at 0 and ends at the length of the array it points into.
    """
    levels = (store.tokens, store.line_offsets[1:], store.section_offsets[1:], store.song_offsets[1:])
    offsets = (store.line_offsets, store.section_offsets, store.song_offsets)
    whole = all(each[0] == 0 and each[-1] == len(below) for each, below in zip(offsets, levels, strict=False))
    songs = {len(each) for each in (levels[-1], store.song_split, store.song_keys, store.signatures)}
    lines = {len(each) for each in (levels[1], store.line_first, store.line_keys)}
    if not whole or len(songs) > 1 or len(lines) > 1:
        raise UserError(f"{store.path}: the lengths of its arrays do not match; prepare the store again")


def describe_arrays(directory: Path) -> dict[str, dict[str, Any]]:
    """The shape, dtype and SHA-256 of each array of a store. `meta.json` has them as `arrays`."""
    described = {}
    for name in ARRAYS:
        array = open_array_file(directory / f"{name}.npy")
        digest = sha256_of(array.path)
        described[name] = {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
    return described


def write_meta(directory: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Write `meta.json` when all other files are written. Returns its content.

    Adds to `meta` the format version, the description of the arrays, and the SHA-256 of all other files and of
    meta.json itself.
    """
    described = {"arrays": describe_arrays(directory), "files": sums_of_other_files(directory)}
    document = {"format_version": FORMAT_VERSION, **meta, **described}
    document["sha256"] = sum_of(document)
    write_json(directory / "meta.json", document)
    return document


def sums_of_other_files(directory: Path) -> dict[str, str]:
    """The SHA-256 of each file of a store, except its arrays and meta.json. Names are relative to the store."""
    names = (name for name in files_below(directory) if not name.endswith(".npy") and name != "meta.json")
    return {name: sha256_of(directory / name) for name in names}


def sum_of(meta: dict[str, Any]) -> str:
    """The SHA-256 of the content of a meta.json or part.json, without the field that holds it."""
    others = {name: value for name, value in meta.items() if name != "sha256"}
    return hashlib.sha256(as_json(others).encode()).hexdigest()
