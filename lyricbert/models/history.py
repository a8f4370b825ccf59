"""The history of a model: the runs that trained it, and the keys of the songs that it was trained on.

It is in two files of the model's directory, so that it travels with the model:

    lyricbert.json         the runs, oldest first, and the SHA-256 of the other file
    lyricbert_songs.npy    int64 [songs], sorted: the keys of the training songs of all runs

With them, a held-out song of any store can be told from a song that the model was trained on.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub import hf_hub_download

from lyricbert import __version__
from lyricbert.config import flag
from lyricbert.errors import UserError
from lyricbert.files import sha256_of, write_json
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore
from lyricbert.songs.tokenizer import quiet_libraries_and_check_path

RUNS_FILE, SONGS_FILE = "lyricbert.json", "lyricbert_songs.npy"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class History:
    """`runs`: a JSON object for each run, oldest first. `songs`: int64 [songs], sorted, the keys of their songs."""

    runs: tuple[dict[str, Any], ...] = ()
    songs: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def count_seen(self, store: TokenStore) -> int:
        """The number of held-out songs of `store` that the model was trained on."""
        held_out = np.sort(store.song_keys[store.song_split == VALIDATION])
        before, after = (np.searchsorted(self.songs, held_out, side) for side in ("left", "right"))
        return int(np.count_nonzero(after > before))

    def describe_seen(self, store: TokenStore) -> str | None:
        """How many held-out songs of `store` the model was trained on, and what to do. None if there are none."""
        seen, held_out = self.count_seen(store), int(np.count_nonzero(store.song_split == VALIDATION))
        if not seen:
            return None
        return f"was trained on {seen} of the {held_out} held-out songs of {store.path}; {self._advice()}"

    def _advice(self) -> str:
        splits = {" ".join(f"{flag(name)} {value}" for name, value in run["split"].items()) for run in self.runs}
        if len(splits) != 1:
            return "give a store whose held-out songs are in none of the stores that it was trained on"
        how = "give the store that it was trained on, or prepare one that is split in the same way"
        return f"{how}: {splits.pop()}"

    def with_run(self, command: str, steps: int, store: TokenStore) -> "History":
        """The history after `steps` steps of training on `store`. `command`: "mlm" or "triplet".

        All training songs of the store count as trained on, also those that --max-songs or an early end leave out. So a
        check can refuse too much, but it never lets a song pass that the model was trained on.
        """
        songs, meta = store.song_keys[store.song_split == TRAIN], store.meta
        split = {"seed": meta.get("seed"), "val_fraction": meta.get("val_fraction")}
        run = {
            "command": command,
            "steps": steps,
            "store": store.identity,
            "store_format": meta["format_version"],
            "split": {**split, "near_duplicates": meta.get("near_duplicates", {}).get("setting")},
            "sources": {**meta.get("sources", {}), "sha256": meta.get("files", {}).get("sources.jsonl")},
            "training_songs": len(songs),
            "held_out_songs_seen_before": self.count_seen(store),
            "versions": {
                "lyricbert": __version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
        }
        return History((*self.runs, run), np.union1d(self.songs, songs))

    def save(self, directory: Path) -> None:
        """Write the two files into `directory`."""
        np.save(directory / SONGS_FILE, self.songs, allow_pickle=False)
        songs = {"count": len(self.songs), "sha256": sha256_of(directory / SONGS_FILE)}
        write_json(directory / RUNS_FILE, {"format_version": FORMAT_VERSION, "songs": songs, "runs": self.runs})


def read_history(name: str) -> History:
    """The history of a model directory or hub name, empty if it has none. Raises `UserError` if it is damaged."""
    quiet_libraries_and_check_path(name)
    path = _find(name, RUNS_FILE)
    if path is None:
        return History()
    try:
        return _read(path, _find(name, SONGS_FILE))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"{name}: {RUNS_FILE} or {SONGS_FILE} is missing or damaged, so it is unknown which songs the model was"
            f" trained on; copy both from the original, or remove {RUNS_FILE} to use the model without this check"
        ) from None


def _find(name: str, filename: str) -> Path | None:
    """The path of a file of a model directory or hub name. None if the file does not exist or cannot be reached."""
    if os.path.isdir(name):
        path = Path(name) / filename
        return path if os.path.lexists(path) else None  # a broken link is damage
    try:
        return Path(hf_hub_download(name, filename))
    except Exception:  # the hub fails in many ways; loading the model reports those that matter
        return None


def _read(runs_path: Path, songs_path: Path | None) -> History:
    document = json.loads(runs_path.read_text(encoding="utf-8"))
    if document["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{runs_path}: has format {document['format_version']}, but this version of lyricbert reads format"
            f" {FORMAT_VERSION}; install the version of lyricbert that wrote it"
        )
    if songs_path is None or sha256_of(songs_path) != document["songs"]["sha256"]:
        raise ValueError
    with songs_path.open("rb") as file:
        songs = np.lib.format.read_array(file, allow_pickle=False)
    runs = tuple({**run, "split": dict(run["split"])} for run in document["runs"])
    if songs.dtype != np.int64 or songs.ndim != 1:
        raise ValueError
    return History(runs, songs)
