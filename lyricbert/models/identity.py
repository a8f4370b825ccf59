"""Identifies a model by its files, so that a changed model is noticed."""

import hashlib
import os
from pathlib import Path

from huggingface_hub import hf_hub_download

from lyricbert.errors import UserError
from lyricbert.files import sha256_of
from lyricbert.models.history import RUNS_FILE
from lyricbert.songs.tokenizer import LOADING_REMEDY, first_line, quiet_libraries_and_check_path

_PATTERNS = ("*.safetensors", "*.json", "*.txt")  # weights, configuration, tokenizer


def identify_model(name: str) -> str:
    """The SHA-256 of the weights, configuration and tokenizer of a model directory; of a hub name, the commit.

    A copy of a directory has the same identity. Raises `UserError` if the model cannot be read.
    """
    quiet_libraries_and_check_path(name)
    if not os.path.isdir(name):
        return _commit(name)
    files = {path for pattern in _PATTERNS for path in Path(name).glob(pattern) if path.is_file()}
    digest = hashlib.sha256()
    try:
        for path in sorted(files):
            if path.name != RUNS_FILE:  # the history has no influence on what the model computes
                digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); {LOADING_REMEDY}") from None
    return digest.hexdigest()


def _commit(name: str) -> str:
    try:
        path = hf_hub_download(name, "config.json")
    except Exception as error:  # the hub fails in many ways
        raise UserError(f"{name}: no BERT model could be loaded ({first_line(error)}); {LOADING_REMEDY}") from None
    return Path(path).parent.name  # the hub's cache has a directory for each commit
