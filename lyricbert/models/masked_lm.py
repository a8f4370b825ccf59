"""A BERT masked language model whose head runs on masked positions only."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertForMaskedLM, PreTrainedTokenizerFast

from lyricbert.batches.masking import IGNORE
from lyricbert.models.encoder import encode, layer
from lyricbert.models.ops import tied_embedding_lookup


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
        words, shared = tied_embedding_lookup(matrix, input_ids)
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
