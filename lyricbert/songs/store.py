"""The token store: flat, memory-mapped arrays. `prepare` writes a store once; the other commands read it.

A store is a directory with `meta.json`, `tokenizer/` and these arrays:

    tokens          uint16 or uint32 [tokens], no special tokens
    line_offsets    int64 [lines + 1] into tokens
    section_offsets int64 [sections + 1] into lines
    song_offsets    int64 [songs + 1] into sections
    song_split      uint8 [songs], 0 training, 1 validation
    song_keys       int64 [songs], a digest of the words of each song
    line_first      bool [lines], True for the first of equal lines in a split
    section_first   bool [sections], True for the first of equal sections in a split
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lyricbert.errors import UserError
from lyricbert.files import sha256_of, write_json

FORMAT_VERSION = 1
TRAIN, VALIDATION = 0, 1
ARRAYS = {
    "tokens": None,
    "line_offsets": "int64",
    "section_offsets": "int64",
    "song_offsets": "int64",
    "song_split": "uint8",
    "song_keys": "int64",
    "line_first": "bool",
    "section_first": "bool",
}


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
    song_keys: np.ndarray
    line_first: np.ndarray
    section_first: np.ndarray

    @property
    def tokenizer_path(self) -> str:
        return str(self.path / "tokenizer")

    @property
    def identity(self) -> str:
        """A digest of the arrays. It does not depend on the store's path."""
        return hashlib.sha256(json.dumps(self.meta["arrays"], sort_keys=True).encode()).hexdigest()

    def song_of_section(self) -> np.ndarray:
        """int64 [sections]: the song of each section."""
        return np.repeat(np.arange(len(self.song_split)), np.diff(self.song_offsets))

    def song_of_line(self) -> np.ndarray:
        """int64 [lines]: the song of each line."""
        return np.repeat(self.song_of_section(), np.diff(self.section_offsets))


def open_store(path: Path) -> TokenStore:
    """Open a store for reading. Raises `UserError` if it is missing, damaged or of another format version."""
    meta_path = path / "meta.json"
    if not meta_path.is_file():
        raise UserError(f"{path}: not a token store (no meta.json); create one with python -m lyricbert.prepare")
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        version, described = meta["format_version"], dict(meta["arrays"])
        meta["tokenizer"]["fingerprint"], meta["tokenizer"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{meta_path}: damaged; prepare the store again") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: has store format {version}, but this version of lyricbert reads format {FORMAT_VERSION};"
            " prepare the store again"
        )
    store = TokenStore(path, meta, **{name: _open_array(path / f"{name}.npy", described.get(name)) for name in ARRAYS})
    _check_offsets(store)
    return store


def _open_array(path: Path, described: dict[str, Any] | None) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # reads .npy only, and no pickled objects
    except (OSError, ValueError, EOFError):
        raise UserError(f"{path}: missing or damaged; prepare the store again") from None
    if described is None or [list(array.shape), str(array.dtype)] != [described.get("shape"), described.get("dtype")]:
        raise UserError(f"{path}: does not match meta.json; prepare the store again")
    return array


def _check_offsets(store: TokenStore) -> None:
    """Raise `UserError` unless every offset array starts at 0 and ends at the length of the array it points into."""
    levels = (store.tokens, store.line_offsets[1:], store.section_offsets[1:], store.song_offsets[1:])
    offsets = (store.line_offsets, store.section_offsets, store.song_offsets)
    whole = all(each[0] == 0 and each[-1] == len(below) for each, below in zip(offsets, levels, strict=False))
    if not whole or len(store.song_split) != len(levels[-1]):
        raise UserError(f"{store.path}: the lengths of its arrays do not match; prepare the store again")


def write_arrays(directory: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write `arrays` and `meta.json`. To `meta` it adds the shape, dtype and SHA-256 of each array."""
    described = {}
    for name, kind in ARRAYS.items():
        array = arrays[name] if kind is None else arrays[name].astype(kind, copy=False)
        np.save(directory / f"{name}.npy", array, allow_pickle=False)
        digest = sha256_of(directory / f"{name}.npy")
        described[name] = {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
    document = {"format_version": FORMAT_VERSION, **meta, "arrays": described}
    write_json(directory / "meta.json", document)
