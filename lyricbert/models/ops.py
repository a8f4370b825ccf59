"""Operations of the encoder with a faster version for the CPU. Both versions compute the same function."""

from typing import Any

import torch
import torch.nn.functional as F

_ONE = 1 << 16


def dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Zero each element with probability `rate` and multiply the others by 1 / (1 - rate). Keeps shape and dtype.

    On a CPU, random numbers cost more than the multiplication. Therefore each 64-bit random number serves four
    elements, with 16 bits each, and `rate` is rounded to a multiple of 2**-16.
    """
    if rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    return x * _keep(x, rate)


def _keep(x: torch.Tensor, rate: float) -> torch.Tensor:
    """A tensor like `x` with 0 where dropout zeroes an element, and 1 / (1 - rate) elsewhere."""
    drop = round(rate * _ONE)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    # `out` makes the comparison write numbers. Converting bools to numbers would take longer than everything else.
    keep = torch.ge(bits[: x.numel()].view(x.shape), drop - _ONE // 2, out=torch.empty_like(x, requires_grad=False))
    return keep.mul_(_ONE / (_ONE - drop))


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor | None, dropout_rate: float
) -> torch.Tensor:
    """Scaled dot-product attention. Arguments and result are [rows, heads, width, size].

    `visible`: bool [rows, 1, width, width], symmetric, True where two tokens see each other; None if all do. Every
    token must see itself.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, visible, dropout_rate)
    context: torch.Tensor
    context = _Attention.apply(query, key, value, visible, dropout_rate)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return context


class _Attention(torch.autograd.Function):
    """Attention on a CPU. The scores are by far the largest tensors, so few operations make a copy of them.

    With autograd, masking would copy them in both passes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        visible: torch.Tensor | None,
        dropout_rate: float,
    ) -> torch.Tensor:
        query = query * query.shape[-1] ** -0.5
        # The scores are [..., keys, queries]. With fewer than 16 keys, softmax is several times faster over the
        # second-last dimension than over the last.
        scores = key @ query.transpose(2, 3)
        if visible is not None:
            scores.masked_fill_(~visible, -torch.inf)
        weights = scores.softmax(dim=2)
        keep = _keep(weights, dropout_rate) if dropout_rate else None
        dropped = weights if keep is None else weights * keep
        ctx.save_for_backward(query, key, value, weights, keep, dropped)
        return dropped.transpose(2, 3) @ value

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights, keep, dropped = ctx.saved_tensors
        of_value = dropped @ gradient
        of_weights = value @ gradient.transpose(2, 3)
        if keep is not None:
            of_weights.mul_(keep)
        of_scores = torch._softmax_backward_data(of_weights, weights, 2, weights.dtype)
        of_query = (of_scores.transpose(2, 3) @ key).mul_(query.shape[-1] ** -0.5)
        return of_query, of_scores @ query, of_value, None, None


def tied_embedding_lookup(weight: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows of `weight` at `ids`, `weight`), for a matrix that is both word embeddings and output matrix.

    `weight`: float [vocabulary, hidden]. Each of the two uses has a gradient as large as the matrix. On a CPU, the
    gradient of the rows is added into the gradient of the second result, which saves one such matrix.
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
