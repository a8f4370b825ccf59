"""A sentence encoder: a BERT encoder whose last layer is pooled."""

from pathlib import Path

import torch
from torch import nn
from transformers import BertModel, PreTrainedTokenizerFast

from lyricbert.files import write_json
from lyricbert.models.flat import PaddedRows, encode_flat


class SentenceEncoder(nn.Module):
    """A BERT encoder whose last layer is pooled into one vector: the "mean" of the tokens, or the "cls" token."""

    def __init__(self, bert: BertModel, pooling: str):
        super().__init__()
        self.bert = bert
        self.pooling = pooling

    def forward(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, slots: torch.Tensor, *places: torch.Tensor
    ) -> torch.Tensor:
        """Embeddings, float32 [rows of all blocks, hidden], of one example per row.

        For the arguments see `flat.encode_flat` and `flat.PaddedRows`. The embedding of an empty row has no meaning.
        """
        rows = PaddedRows(places, slots)
        if self.pooling == "cls":
            return encode_flat(self.bert, input_ids, position_ids, rows, rows.first())
        return rows.mean(encode_flat(self.bert, input_ids, position_ids, rows))

    def save(self, directory: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        """Write a Hugging Face directory that `SentenceTransformer` opens with the same pooling."""
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
