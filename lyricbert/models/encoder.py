"""The forward pass of a BERT encoder (Devlin et al., "BERT", 2019), with the weights of a transformers `BertModel`.

It is written out here to train faster on short lines. A row can hold several examples, the last layer can skip
positions that do not enter the loss, and some operations have a faster version for the CPU.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertModel

from lyricbert.models.ops import attend, dropout

if TYPE_CHECKING:  # only the type checker needs these names; transformers does not export them
    from transformers.models.bert.modeling_bert import (
        BertCrossAttention,
        BertLayer,
        BertOutput,
        BertSelfAttention,
        BertSelfOutput,
    )

Layer = Callable[["BertLayer", torch.Tensor, torch.Tensor | None, torch.Size, torch.Tensor | None], torch.Tensor]


def layer(
    module: "BertLayer",
    hidden: torch.Tensor,
    visible: torch.Tensor | None,
    shape: torch.Size,
    positions: torch.Tensor | None,
) -> torch.Tensor:
    """Run one layer on `hidden`, float32 [rows * width, hidden]. Returns the same shape, or [P, hidden].

    `visible`: bool [rows, 1, width, width], True where two tokens see each other; None if all tokens of a row do.
    `shape`: (rows, width). `positions`: int64 [P], flat; everything after the attention runs at these positions only.
    """
    attention = module.attention.self
    context = attend_in_rows(attention, query_key_value(attention, hidden), visible, shape)
    return after_attention(module, hidden, context, positions)


def query_key_value(module: "BertSelfAttention | BertCrossAttention", hidden: torch.Tensor) -> torch.Tensor:
    """Project `hidden`, float32 [T, hidden]. Returns query, key and value side by side: float [T, 3 * hidden]."""
    parts = (module.query, module.key, module.value)
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    return F.linear(hidden, weight, bias)


def attend_in_rows(
    module: "BertSelfAttention | BertCrossAttention",
    projected: torch.Tensor,
    visible: torch.Tensor | None,
    shape: tuple[int, ...],
) -> torch.Tensor:
    """The attention of rows of tokens: float [rows * width, hidden].

    `projected`: the result of `query_key_value` for the tokens of all rows. `visible`, `shape`: see `layer`.
    """
    heads, size = module.num_attention_heads, module.attention_head_size
    query, key, value = projected.view(*shape, 3, heads, size).permute(2, 0, 3, 1, 4)
    context = attend(query, key, value, visible, _rate(module.dropout))
    return context.transpose(1, 2).reshape(-1, heads * size)


def after_attention(
    module: "BertLayer", hidden: torch.Tensor, context: torch.Tensor, positions: torch.Tensor | None = None
) -> torch.Tensor:
    """The part of a layer after its attention. `hidden`, `context`: float [T, hidden], the layer's input and
    the result of its attention.

    `positions`: see `layer`.
    """
    if positions is not None:
        context, hidden = context.index_select(0, positions), hidden.index_select(0, positions)
    hidden = _add_and_normalize(module.attention.output, context, hidden)
    inner = module.intermediate
    return _add_and_normalize(module.output, inner.intermediate_act_fn(inner.dense(hidden)), hidden)


def encode(
    bert: BertModel,
    words: torch.Tensor,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor,
    positions: torch.Tensor | None = None,
    run_layer: Layer = layer,
) -> torch.Tensor:
    """The last hidden state: float32 [rows * width, hidden], or [P, hidden] if `positions` is given.

    `words`: word embeddings, float32 [rows, width, hidden].
    `attention_mask`: int64 [rows, width], n on the tokens of a row's n-th example (from 1), 0 on padding. Tokens with
    the same number see each other. None if each row is one example without padding.
    `position_ids`: int64 [rows, width], positions within the example, from 0.
    `positions`: int64 [P], the flat positions to return. `run_layer`: `layer`, or its compiled version.
    """
    visible = None
    if attention_mask is not None:
        visible = attention_mask[:, None, :, None] == attention_mask[:, None, None, :]
    hidden = embed(bert, words, position_ids).flatten(0, 1)
    *before, last = cast("Iterable[BertLayer]", bert.encoder.layer)
    for module in before:
        hidden = run_layer(module, hidden, visible, position_ids.shape, None)
    return run_layer(last, hidden, visible, position_ids.shape, positions)


def embed(bert: BertModel, words: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    """The input of the first layer, in the shape of `words`. For the arguments see `encode`."""
    embeddings = bert.embeddings
    kind = embeddings.token_type_embeddings.weight[0]
    hidden = embeddings.LayerNorm(words + (embeddings.position_embeddings(position_ids) + kind))
    return dropout(hidden, _rate(embeddings.dropout))


def _add_and_normalize(module: "BertSelfOutput | BertOutput", x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    normalized: torch.Tensor = module.LayerNorm(dropout(module.dense(x), _rate(module.dropout)) + residual)
    return normalized


def _rate(module: nn.Dropout) -> float:
    return module.p if module.training else 0.0
