"""Load tokenizers, describe their vocabulary as arrays, and compute their fingerprint."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from huggingface_hub.utils import logging as hub_logging
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from lyricbert.errors import UserError
from lyricbert.songs.line_tokenizer import SavedTokenizer

# Tokenizers differ in how they treat case, accents, punctuation, numbers, other scripts and unknown characters.
_PROBE = "Café del MAR, don't — naïve “ohh-oh” 1234 ½ 夜空 λόγος привет 🎵 nananana\u0301 [MASK]"


@dataclass(frozen=True)
class Vocabulary:
    """Special ids and kinds of tokens in a vocabulary of V tokens.

    `is_special`: bool [V], True for special tokens ([CLS], [SEP], [PAD], [MASK], [UNK]). `starts_word`: bool [V], True
    for tokens of letters that begin a word. `continues_word`: bool [V], True for `##` pieces.
    """

    size: int
    pad: int
    cls: int
    sep: int
    mask: int
    is_special: np.ndarray
    starts_word: np.ndarray
    continues_word: np.ndarray


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a model directory or hub name. Truncation and padding are off. Raises `UserError`."""
    quiet_libraries_and_check_path(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    except Exception as error:  # the hub, the file system and the parser raise many kinds of errors
        raise UserError(f"{name}: no tokenizer could be loaded ({first_line(error)}); {LOADING_REMEDY}") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"{name}: has no fast tokenizer (tokenizer.json); convert it with transformers first")
    missing = [kind for kind in ("pad", "cls", "sep", "mask") if getattr(tokenizer, f"{kind}_token_id") is None]
    if missing:
        raise UserError(f"{name}: its tokenizer has no {' or '.join(missing)} token; give a BERT model")
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def save_tokenizer(name: str, directory: Path) -> SavedTokenizer:
    """Load a tokenizer as `load_tokenizer` does, and save it in `directory`."""
    tokenizer = load_tokenizer(name)
    tokenizer.save_pretrained(directory)
    return SavedTokenizer(
        directory, fingerprint(tokenizer), len(tokenizer), tokenizer.unk_token_id, tokenizer.model_max_length
    )


def quiet_libraries_and_check_path(name: str) -> None:
    """Silence transformers and huggingface_hub, because the commands report errors in one line themselves.

    Raises `UserError` if `name` is a path but not a directory, so that the hub is not asked for it.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    if not os.path.isdir(name) and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise UserError(f"{name}: no such directory; {LOADING_REMEDY}")


LOADING_REMEDY = "give the directory of a model, or a Hugging Face hub name if the hub can be reached"


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def vocabulary(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """Special ids and kinds of the tokens of `tokenizer`."""
    size = len(tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(list(range(size)))
    is_special = np.zeros(size, dtype=bool)
    is_special[tokenizer.all_special_ids] = True
    return Vocabulary(
        size=size,
        pad=tokenizer.pad_token_id,
        cls=tokenizer.cls_token_id,
        sep=tokenizer.sep_token_id,
        mask=tokenizer.mask_token_id,
        is_special=is_special,
        starts_word=np.array([token.isalpha() for token in tokens]) & ~is_special,
        continues_word=np.array([token.startswith("##") for token in tokens]),
    )


def fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """A hexadecimal digest of the vocabulary and of the ids of a probe text.

    The tokenizer's files are not compared: they differ between library versions for the same behaviour.
    """
    vocab = sorted(tokenizer.get_vocab().items())
    probe = tokenizer.encode(_PROBE, add_special_tokens=True)
    return hashlib.sha256(json.dumps([vocab, probe]).encode()).hexdigest()
