"""A BERT masked language model that runs its head on masked positions only."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertForMaskedLM, PreTrainedTokenizerFast

from lyricbert.batches.masking import IGNORE
from lyricbert.models.encoder import encode, layer
from lyricbert.models.ops import tied_embedding_lookup


class MaskedLM(nn.Module):
    """A BERT that runs the MLM head and most of the last layer only on masked positions.

    Only those positions, about 15 %, enter the loss. Each saves a product with the [hidden, vocabulary] matrix.
    """

    def __init__(self, bert: BertForMaskedLM):
        super().__init__()
        self.bert = bert
        self._layer, self._loss = layer, _summed_cross_entropy

    def compile_parts(self) -> None:
        """Compile the layers and the loss with `torch.compile`. The weights do not change."""
        self._layer, self._loss = torch.compile(layer), torch.compile(_summed_cross_entropy)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        positions: torch.Tensor,
        gold: torch.Tensor,
    ) -> torch.Tensor:
        """The cross-entropy, summed over the masked positions: float32 [].

        `input_ids`: int64 [rows, width]. `attention_mask`, `position_ids`: see `encoder.encode`. `positions`: int64
        [P], the flat positions to predict. `gold`: int64 [P], the original ids; positions with IGNORE do not count.
        """
        return self._loss(self.masked_logits(input_ids, attention_mask, position_ids, positions), gold)

    def masked_logits(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [P, vocabulary] at the flat `positions`. For the arguments see `forward`."""
        encoder, head = self.bert.bert, self.bert.cls.predictions
        matrix = encoder.embeddings.word_embeddings.weight
        words, shared = tied_embedding_lookup(matrix, input_ids)
        hidden = encode(encoder, words, attention_mask, position_ids, positions, self._layer)
        output = shared if head.decoder.weight is matrix else head.decoder.weight
        return F.linear(head.transform(hidden), output, head.decoder.bias)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of the encoder. They include the word embeddings, which the head uses as output matrix."""
        return list(self.bert.bert.parameters())

    def save(self, directory: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        """Write the model and `tokenizer` as a Hugging Face directory."""
        self.bert.save_pretrained(directory)
        tokenizer.save_pretrained(directory)


def _summed_cross_entropy(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.float(), gold, ignore_index=IGNORE, reduction="sum")
