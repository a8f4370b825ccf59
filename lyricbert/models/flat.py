"""The forward pass of a BERT encoder on a flat sequence: examples one after the other, without padding between them.

All operations except attention treat each token alone, so padding would only cost time. For attention, the tokens are
copied into padded rows, one example a row. Rows of similar length form a block. ModernBERT removes padding in the same
way (Warner et al., "Smarter, Better, Faster, Longer", 2024).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from transformers import BertModel

from lyricbert.models.encoder import after_attention, attend_in_rows, embed, query_key_value

if TYPE_CHECKING:  # only the type checker needs this name; transformers does not export it
    from transformers.models.bert.modeling_bert import BertLayer


class PaddedRows:
    """Copies the T tokens of a flat sequence into blocks of padded rows, and back.

    `places`: int64 [rows, width] for each block, the token at each place, -1 for padding. Every token has one place.
    `slots`: int64 [T], the place of each token among the places of all blocks.
    """

    def __init__(self, places: Sequence[torch.Tensor], slots: torch.Tensor):
        self.real = [block >= 0 for block in places]
        self._tokens = torch.cat([block.flatten() for block in places]).clamp(min=0)
        self._slots = slots
        # Padding sees only padding. So no result or gradient of a token depends on what is copied there.
        self._visible = [real[:, None, :, None] == real[:, None, None, :] for real in self.real]

    def pad(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Float [T, size] -> float [rows * width, size] for each block."""
        padded = _rearrange(x, self._tokens, self._slots)
        return list(padded.split([real.numel() for real in self.real]))

    def attend(self, layer: "BertLayer", hidden: torch.Tensor) -> torch.Tensor:
        """The attention of a layer: float [T, hidden] -> float [T, hidden]."""
        attention = layer.attention.self
        blocks = zip(self.pad(query_key_value(attention, hidden)), self._visible, self.real, strict=True)
        contexts = [attend_in_rows(attention, part, visible, real.shape) for part, visible, real in blocks]
        return _rearrange(torch.cat(contexts), self._slots, self._tokens)

    def mean(self, hidden: torch.Tensor) -> torch.Tensor:
        """The mean of each row's tokens: float [T, hidden] -> float [rows of all blocks, hidden]."""
        means = []
        for padded, real in zip(self.pad(hidden), self.real, strict=True):
            weight = real.unsqueeze(-1).to(hidden.dtype)
            total = (padded.view(*real.shape, -1) * weight).sum(dim=1)
            means.append(total / weight.sum(dim=1).clamp(min=1))  # a row can be empty
        return torch.cat(means)

    def first(self) -> torch.Tensor:
        """int64 [rows of all blocks]: the first token of each row; token 0 for an empty row."""
        blocks = zip(self._tokens.split([real.numel() for real in self.real]), self.real, strict=True)
        return torch.cat([tokens.view(real.shape)[:, 0] for tokens, real in blocks])


def encode_flat(
    bert: BertModel,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    rows: PaddedRows,
    positions: torch.Tensor | None = None,
) -> torch.Tensor:
    """The last hidden state: float32 [T, hidden], or [P, hidden] if `positions` is given.

    `input_ids`: int64 [T]. `position_ids`: int64 [T], positions within the example, from 0. `positions`: int64 [P], the
    tokens to return; everything after the last attention runs at these tokens only.
    """
    words = F.embedding(input_ids, bert.embeddings.word_embeddings.weight)
    hidden = embed(bert, words, position_ids)
    *before, last = cast("Iterable[BertLayer]", bert.encoder.layer)
    for module in before:
        hidden = after_attention(module, hidden, rows.attend(module, hidden))
    return after_attention(last, hidden, rows.attend(last, hidden), positions)


def _rearrange(x: torch.Tensor, to: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """`x[to]`: float [N, size] -> float [M, size]. `to`: int64 [M].

    `back`: int64 [N], for each row of `x` the one of its copies whose gradient it gets.
    """
    rearranged: torch.Tensor
    rearranged = _Rearrange.apply(x, to, back)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return rearranged


class _Rearrange(torch.autograd.Function):
    """Copies rows. Its backward pass copies gradients back, which is much faster than the sums that indexing needs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, to: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(back)
        return x.index_select(0, to)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient.index_select(0, back), None, None
