"""The tokenizer: loading, the facts the rest needs of its vocabulary, and a fingerprint that tells two apart."""

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np
from huggingface_hub.utils import logging as hub_logging
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from lyricbert.errors import UserError

# Casing, accents, punctuation, numbers, other scripts and unknown characters: where tokenizers differ.
_PROBE = "Café del MAR, don't — naïve “ohh-oh” 1234 ½ 夜空 λόγος привет 🎵 nananana\u0301 [MASK]"


@dataclass(frozen=True)
class Vocabulary:
    """Ids and kinds of the tokens of a vocabulary of V tokens.

    `is_special`: bool [V], every special token ([CLS], [SEP], [PAD], [MASK], [UNK]).
    `starts_word`: bool [V], a token that begins a word of letters. `continues_word`: bool [V], a `##` piece.
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
    """The fast tokenizer of a model directory or hub name, without truncation or padding of its own."""
    quiet_libraries_and_check_path(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    except Exception as error:  # the hub, the file system and the tokenizer's own parser fail in many ways
        raise UserError(f"{name}: no tokenizer could be loaded ({first_line(error)}); {LOADING_REMEDY}") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"{name}: has no fast tokenizer (tokenizer.json); convert it with transformers first")
    missing = [kind for kind in ("pad", "cls", "sep", "mask") if getattr(tokenizer, f"{kind}_token_id") is None]
    if missing:
        raise UserError(f"{name}: its tokenizer has no {' or '.join(missing)} token; a BERT tokenizer is needed")
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def quiet_libraries_and_check_path(name: str) -> None:
    """Silence the libraries' reports: what a user needs to know is said in one line of ours.

    Raises `UserError` for a path that is no directory, rather than look for it on the hub.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    if not os.path.isdir(name) and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise UserError(f"{name}: no such directory; {LOADING_REMEDY}")


LOADING_REMEDY = "give a directory that holds the model, or a hub name where the hub can be reached"


def first_line(error: Exception) -> str:
    """The first line of an exception's text, for a message of one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def vocabulary(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """The facts of `tokenizer` as arrays indexed by token id."""
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
    """A digest of what `tokenizer` does: its vocabulary and the ids it gives to a probing text.

    The serialized files differ between library versions for the same behaviour, so they are not compared.
    """
    vocab = sorted(tokenizer.get_vocab().items())
    probe = tokenizer.encode(_PROBE, add_special_tokens=True)
    return hashlib.sha256(json.dumps([vocab, probe]).encode()).hexdigest()
