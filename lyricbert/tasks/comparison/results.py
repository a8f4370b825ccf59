"""The results of finished pieces: a file OUT/results/PIECE.safetensors each.

A file holds two float64 arrays [songs] for each figure, NAME.value and NAME.weight, and as its metadata

    about     JSON: the name of the piece, what its result depends on, and the counts of the result
    sha256    of `about` and the arrays

It is written under a temporary name, synced to disk and then renamed.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lyricbert.errors import UserError
from lyricbert.evaluation.intervals import SongSums
from lyricbert.files import write_atomically, write_errors_as_user_error
from lyricbert.tasks.comparison.identity import Identity
from lyricbert.tasks.comparison.pieces import Piece

_REMEDY = "free some space and run the same command again; finished trainings are kept"


class Damaged(Exception):
    """A file is missing, or its checksum does not match."""


@dataclass(frozen=True)
class Result:
    """What was measured in a piece.

    `figures`: by name, the sums over the held-out songs. `counts`: by name, how much was trained on and evaluated.
    """

    figures: dict[str, SongSums]
    counts: dict[str, int]


@dataclass(frozen=True)
class ResultStore:
    """The stored results in OUT. `identity`: that of the comparison."""

    out: Path
    identity: Identity

    @property
    def directory(self) -> Path:
        return self.out / "results"

    def stored_names(self) -> tuple[set[str], list[str]]:
        """(the names of the pieces with a valid result, a warning for each result that is damaged).

        Raises `UserError` if OUT has a result of another comparison.
        """
        names, warnings = set(), []
        for path in sorted(self.directory.glob("*.safetensors")):
            try:
                self._read(path)
                names.add(path.stem)
            except Damaged:
                warnings.append(f"{path}: damaged, and not used")
        return names, warnings

    def read(self, piece: Piece) -> Result:
        """The stored result. Raises `Damaged`, or `UserError` if it is that of another comparison."""
        return self._read(self._path(piece))

    def _read(self, path: Path) -> Result:
        about, arrays = _read(path)
        if about["piece"] != path.stem:  # a copy of another one
            raise Damaged(path)
        difference = self.identity.describe_difference(path.stem, about["identity"])
        if difference is not None:
            raise UserError(f"{self.out}: holds results {difference}; give another --out or remove {self.out}")
        names = [name.removesuffix(".value") for name in arrays if name.endswith(".value")]
        figures = {name: SongSums(arrays[f"{name}.value"], arrays[f"{name}.weight"]) for name in names}
        return Result(figures, about["counts"])

    def _path(self, piece: Piece) -> Path:
        return self.directory / f"{piece.name}.safetensors"

    def write(self, piece: Piece, result: Result) -> None:
        """Store a result. Raises `UserError` on a write error."""
        arrays: dict[str, np.ndarray] = {}
        for name, sums in result.figures.items():
            arrays |= {f"{name}.value": sums.value, f"{name}.weight": sums.weight}
        about = json.dumps({"piece": piece.name, "identity": self.identity.of_piece(piece), "counts": result.counts})
        content = save(arrays, {"about": about, "sha256": _digest(about, arrays)})
        path = self._path(piece)
        with write_errors_as_user_error(path, _REMEDY), write_atomically(path) as temporary:
            temporary.write_bytes(content)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        if metadata["sha256"] != _digest(metadata["about"], arrays):
            raise Damaged(path)
        return json.loads(metadata["about"]), arrays
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        raise Damaged(path) from None


def _digest(about: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
