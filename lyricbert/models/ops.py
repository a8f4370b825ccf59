"""Operations of the encoder that a CPU does best in another way than a GPU. The mathematics is the same on both."""

from typing import Any

import torch
import torch.nn.functional as F

_ONE = 1 << 16


def dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Zero each element with probability `rate` and scale the others by 1 / (1 - rate). Shape and dtype of `x`.

    On a CPU drawing a number costs more than the product that it decides about, so four elements share a 64-bit draw;
    `rate` is rounded to a multiple of 2**-16, and the scale with it.
    """
    if rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    drop = round(rate * _ONE)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    # The comparison writes numbers at once: turning bools into them would take longer than all the rest.
    keep = torch.ge(bits[: x.numel()].view(x.shape), drop - _ONE // 2, out=torch.empty_like(x, requires_grad=False))
    return x * keep.mul_(_ONE / (_ONE - drop))


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor | None, dropout_rate: float
) -> torch.Tensor:
    """Scaled dot-product attention: [rows, heads, width, size] of three such tensors.

    `visible`: bool [rows, 1, width, width], symmetric, which tokens see each other; None where all do. Every token sees
    itself at least.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, visible, dropout_rate)
    # Keys before queries: over fewer than 16 numbers softmax is several times faster across memory than along it.
    scores = key @ (query * query.shape[-1] ** -0.5).transpose(2, 3)
    scores = scores.float()
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    weights = dropout(scores.softmax(dim=2), dropout_rate)
    return weights.to(value.dtype).transpose(2, 3) @ value


def tied_embedding_lookup(weight: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows of `weight` [vocabulary, hidden] at `ids`, `weight`), for a matrix that both embeds and predicts.

    Both gradients are as large as the matrix. On a CPU the rows' are added into that of the second result.
    """
    if weight.device.type != "cpu":
        return F.embedding(ids, weight), weight
    looked_up: tuple[torch.Tensor, torch.Tensor]
    looked_up = _TiedEmbeddingLookup.apply(weight, ids)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return looked_up


class _TiedEmbeddingLookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(ids)
        return F.embedding(ids, weight), weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, of_rows: torch.Tensor, of_weight: torch.Tensor) -> tuple[torch.Tensor, None]:
        (ids,) = ctx.saved_tensors
        return of_weight.index_add_(0, ids.flatten(), of_rows.flatten(0, -2)), None
