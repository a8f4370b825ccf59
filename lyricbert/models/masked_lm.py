"""The shared model code: the BERT encoder, the masked language model on it, and the sentence encoder on it."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from lyricbert.batches.masking import IGNORE
from lyricbert.errors import UserError
from lyricbert.files import write_json
from lyricbert.models.encoder import encode, layer
from lyricbert.models.ops import look_up
from lyricbert.songs.store import TokenStore
from lyricbert.songs.tokenizer import LOADING_REMEDY, fingerprint, first_line, load_tokenizer, prepare_loading

POOLINGS = ("mean", "cls")


class MaskedLM(nn.Module):
    """A BERT whose last layer and MLM head run on the masked positions only.

    The head is a [hidden, vocabulary] product for every position it runs on; 15 % of them are enough for the loss.
    """

    def __init__(self, bert: BertForMaskedLM):
        super().__init__()
        self.bert = bert
        self._layer, self._loss = layer, _summed_cross_entropy

    def compile_parts(self) -> None:
        """Compile what is run most, a layer and the loss, for every shape that comes. The weights are not touched."""
        self._layer, self._loss = torch.compile(layer), torch.compile(_summed_cross_entropy)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        positions: torch.Tensor,
        gold: torch.Tensor,
    ) -> torch.Tensor:
        """The cross-entropy summed over the masked positions: float32 [].

        `input_ids`, `attention_mask`, `position_ids`: see `encoder.encode`. `positions`: int64 [P], the flat positions
        to predict. `gold`: int64 [P], the ids that stood there; IGNORE where a position counts nothing.
        """
        return self._loss(self.masked_logits(input_ids, attention_mask, position_ids, positions), gold)

    def masked_logits(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [P, vocabulary] at the P flat `positions`; the arguments are those of `forward`."""
        encoder, head = self.bert.bert, self.bert.cls.predictions
        matrix = encoder.embeddings.word_embeddings.weight
        words, shared = look_up(matrix, input_ids)
        hidden = encode(encoder, words, attention_mask, position_ids, positions, self._layer)
        output = shared if head.decoder.weight is matrix else head.decoder.weight
        return F.linear(head.transform(hidden), output, head.decoder.bias)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """All but the head's own; the head's output matrix is the encoder's word embeddings."""
        return list(self.bert.bert.parameters())

    def save(self, directory: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        """Write an ordinary Hugging Face directory."""
        self.bert.save_pretrained(directory)
        tokenizer.save_pretrained(directory)


def _summed_cross_entropy(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.float(), gold, ignore_index=IGNORE, reduction="sum")


class SentenceEncoder(nn.Module):
    """A BERT encoder and a pooling of its last layer: "mean" over the tokens, or the "cls" token."""

    def __init__(self, bert: BertModel, pooling: str):
        super().__init__()
        self.bert = bert
        self.pooling = pooling

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor
    ) -> torch.Tensor:
        """Embeddings float32 [rows, hidden] of input_ids, attention_mask and position_ids, int64 [rows, width]."""
        rows, width = input_ids.shape
        words = F.embedding(input_ids, self.bert.embeddings.word_embeddings.weight)
        if self.pooling == "cls":
            first = torch.arange(rows, device=input_ids.device) * width
            return encode(self.bert, words, attention_mask, position_ids, first)
        hidden = encode(self.bert, words, attention_mask, position_ids).unflatten(0, (rows, width))
        weight = attention_mask.unsqueeze(-1).float()
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1)

    def save(self, directory: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        """Write a Hugging Face directory that `SentenceTransformer` opens with the right pooling."""
        self.bert.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        modules = [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ]
        pooling = {
            "word_embedding_dimension": self.bert.config.hidden_size,
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
        }
        (directory / "1_Pooling").mkdir(exist_ok=True)
        for name, content in (
            ("modules.json", modules),
            ("1_Pooling/config.json", pooling),
            ("sentence_bert_config.json", {"max_seq_length": self.bert.config.max_position_embeddings}),
        ):
            write_json(directory / name, content)


def load_masked_lm(name: str, seed: int = 0) -> tuple[MaskedLM, bool]:
    """(model, whether it came with an MLM head). A missing head is made fresh, from `seed`."""
    torch.manual_seed(seed)
    bert, loading = _load(BertForMaskedLM, name)
    has_head = not any(key.startswith("cls.") and "decoder" not in key for key in loading["missing_keys"])
    return MaskedLM(bert), has_head


def load_sentence_encoder(name: str, pooling: str) -> SentenceEncoder:
    """The encoder of a model directory or hub name, with or without an MLM head there."""
    return SentenceEncoder(_load(BertModel, name, add_pooling_layer=False)[0], pooling)


def load_tokenizer_for(model_name: str, config_vocabulary_size: int, store: TokenStore) -> PreTrainedTokenizerFast:
    """The store's tokenizer, after checking that the model was trained with the same one. Raises `UserError`."""
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


def _load(kind: type, name: str, **options: object) -> tuple[nn.Module, dict]:
    prepare_loading(name)
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type != "bert":
            raise UserError(f"{name}: a model of type {config.model_type}; lyricbert adapts BERT models")
        if config.is_decoder:
            raise UserError(f"{name}: configured as a decoder (is_decoder); lyricbert adapts encoders")
        model, loading = kind.from_pretrained(
            name,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told of below
            **options,
        )
    except UserError:
        raise
    except Exception as error:  # the hub, the file system and the weights' own parser fail in many ways
        raise UserError(f"{name}: no BERT model could be loaded ({first_line(error)}); {LOADING_REMEDY}") from None
    encoder_missing = [key for key in loading["missing_keys"] if "encoder." in key or "embeddings." in key]
    if encoder_missing or loading["mismatched_keys"]:
        raise UserError(f"{name}: its weights are not what config.json says; the directory mixes two models")
    return model, loading
