"""Loads a BERT and its tokenizer from a directory or the Hugging Face hub."""

import os
import shlex
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from transformers import (
    AutoConfig,
    BertForMaskedLM,
    BertModel,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from lyricbert.errors import UserError
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.models.sentence_encoder import SentenceEncoder
from lyricbert.songs.store import TokenStore
from lyricbert.songs.tokenizer import (
    LOADING_REMEDY,
    fingerprint,
    first_line,
    load_tokenizer,
    quiet_libraries_and_check_path,
)

Model = TypeVar("Model", bound=PreTrainedModel)


def load_masked_lm(name: str, seed: int = 0) -> tuple[MaskedLM, bool]:
    """(model, True if it has an MLM head). A missing head is initialised at random with `seed`. Raises `UserError`."""
    torch.manual_seed(seed)
    bert, loading = _load(BertForMaskedLM, name)
    has_head = not any(key.startswith("cls.") and "decoder" not in key for key in loading["missing_keys"])
    return MaskedLM(bert), has_head


def load_sentence_encoder(name: str, pooling: str) -> SentenceEncoder:
    """Load the encoder of a model directory or hub name. An MLM head is ignored. Raises `UserError`."""
    return SentenceEncoder(_load(BertModel, name, add_pooling_layer=False)[0], pooling)


def count_positions(name: str) -> int:
    """The maximum number of tokens of an example, of a model directory or hub name. Raises `UserError`."""
    return int(_load_config(name).max_position_embeddings)


def load_tokenizer_for(model_name: str, config_vocabulary_size: int, store: TokenStore) -> PreTrainedTokenizerFast:
    """Load the model's tokenizer. Raises `UserError` if the store or the model's weights do not match it."""
    tokenizer = load_tokenizer(model_name)
    if fingerprint(tokenizer) != store.meta["tokenizer"]["fingerprint"]:
        raise UserError(
            f"{store.path}: prepared with the tokenizer {store.meta['tokenizer']['name']}, not that of {model_name};"
            f" prepare it with --tokenizer {model_name}"
        )
    if len(tokenizer) > config_vocabulary_size:
        raise UserError(
            f"{model_name}: its tokenizer has {len(tokenizer)} tokens, its weights {config_vocabulary_size};"
            " the directory mixes two models"
        )
    return tokenizer


def _load_config(name: str) -> PretrainedConfig:
    quiet_libraries_and_check_path(name)
    try:
        config = AutoConfig.from_pretrained(name)
    except Exception as error:  # the hub, the file system and the parsers fail in many ways
        raise _not_loaded(name, error) from None
    if config.model_type != "bert":
        raise UserError(f"{name}: a model of type {config.model_type}; lyricbert adapts BERT models")
    if config.is_decoder:
        raise UserError(f"{name}: configured as a decoder (is_decoder); lyricbert adapts encoders")
    return cast(PretrainedConfig, config)


def _load(kind: type[Model], name: str, **options: Any) -> tuple[Model, dict[str, Any]]:
    config = _load_config(name)
    try:
        loaded = kind.from_pretrained(
            name,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below
            **options,
        )
        model, loading = cast(tuple[Model, dict[str, Any]], loaded)  # with output_loading_info
    except Exception as error:
        raise _not_loaded(name, error) from None
    encoder_missing = [key for key in loading["missing_keys"] if "encoder." in key or "embeddings." in key]
    if encoder_missing or loading["mismatched_keys"]:
        raise UserError(f"{name}: its weights are not what config.json says; the directory mixes two models")
    return model, loading


def _not_loaded(name: str, error: Exception) -> UserError:
    reason = first_line(error)
    remedy = _how_to_convert(name, reason)
    return UserError(remedy or f"{name}: no BERT model could be loaded ({reason}); {LOADING_REMEDY}")


def _how_to_convert(name: str, reason: str) -> str | None:
    """The error message for a model without safetensors weights. None if loading failed for another reason.

    `reason`: the message of transformers. For a hub name it is the only evidence. Other versions may word it
    differently.
    """
    if os.path.isdir(name):
        if any(Path(name).glob("*.safetensors")) or not any(Path(name).glob("pytorch_model*.bin")):
            return None
        command = _CONVERT.format(shlex.quote(name))
        return (
            f"{name}: has its weights only in pytorch_model.bin, a pickle file, which lyricbert does not load;"
            f" convert it: {command}"
        )
    if "does not appear to have a file named model.safetensors" not in reason:
        return None
    directory = shlex.quote(name.rpartition("/")[2])
    download = f"hf download {shlex.quote(name)} --local-dir {directory}"
    return (
        f"{name}: has no model.safetensors; if it has pytorch_model.bin, convert it and give the directory {directory}"
        f" instead: {download} && {_CONVERT.format(directory)}"
    )


# With weights_only, torch.load builds tensors and runs no code. The clone is needed because tied weights share memory,
# which save_file refuses.
_CONVERT = (
    'python -c "import pathlib, sys, torch, safetensors.torch; d = pathlib.Path(sys.argv[1]);'
    " w = {{k: v.contiguous().clone() for f in d.glob('pytorch_model*.bin')"
    " for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}};"
    " safetensors.torch.save_file(w, d / 'model.safetensors', {{'format': 'pt'}})\" {}"
)
