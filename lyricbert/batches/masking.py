"""Masking: choose the tokens that the model has to predict, and replace them in its input.

By default, 15 % of the tokens of each line are chosen. Of those, 80 % become [MASK], 10 % become a random token and
10 % stay (Devlin et al., "BERT", 2019, section 3.1). Every choice is a hash of (key, example, position). It does not
depend on the number of ranks, the batch or the machine.

Masks are made on the CPU, ahead of the step that needs them. The number of targets determines shapes and the loss. With
masks made on the GPU, the CPU would have to wait for that number.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from lyricbert.batches.batching import Batch
from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.songs.tokenizer import Vocabulary

IGNORE = -100
EVAL_MASK_RATE = 0.15
_BITS = 24
_ONE = 1 << _BITS


@dataclass(frozen=True)
class MaskingTables:
    """The properties of a vocabulary of V tokens that masking needs.

    `is_special`: bool [V]. `replacements`: int64, all ids that are not special. `mask_id`: the id of [MASK].
    """

    is_special: torch.Tensor
    replacements: torch.Tensor
    mask_id: int

    @staticmethod
    def of(vocabulary: Vocabulary) -> "MaskingTables":
        is_special = torch.from_numpy(vocabulary.is_special)
        return MaskingTables(is_special, torch.nonzero(~is_special).squeeze(1), vocabulary.mask)


def training_key(seed: int, epoch: int, masking: str) -> int:
    """The key of an epoch's masks. "dynamic": every epoch has new masks. "static": all epochs have the same masks."""
    return derive_key("mask", seed, epoch if masking == "dynamic" else 0)


def evaluation_key() -> int:
    """The key of the evaluation masks. All runs and models share it, so that their losses can be paired."""
    return derive_key("evaluation mask")


def mask_tokens(batch: Batch, tables: MaskingTables, rate: float, key: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask a batch. Returns (inputs, targets), both int64 [rows, width].

    `rate`: share of an example's tokens to predict, special tokens not counted. `targets`: the original id where the
    model has to predict, else -100.

    An example of n tokens has `floor(rate * n + u)` targets, with u uniform in [0, 1): `rate * n` on average. It has at
    least one, unless all its tokens are special.
    """
    ids, example, position = batch.input_ids, batch.attention_mask, batch.position_ids
    maskable = (example > 0) & ~tables.is_special[ids]
    # Only integers, because floats could be rounded differently on another machine. Each random number is a hash of the
    # example's key and a number that depends on the position.
    example_key = hash64(key, batch.example_ids)
    count = _count_in_examples(maskable, example, example_key.shape[1])[:, 1:]
    draw = top_bits(hash64(example_key, torch.full_like(count, -1)), _BITS)
    wanted = ((count * round(rate * _ONE) + draw) >> _BITS).clamp(min=1)

    own = (example - 1).clamp(min=0)
    token_key = example_key.gather(1, own)
    score = top_bits(hash64(token_key, 4 * position), 62).masked_fill(~maskable, (1 << 62) - 1)
    rank = _rank_in_examples(score, example, example_key.shape[1])
    chosen = maskable & (rank < wanted.gather(1, own))

    kind = top_bits(hash64(token_key, 4 * position + 1), _BITS)
    random_index = top_bits(hash64(token_key, 4 * position + 2), 62) % len(tables.replacements)
    inputs = torch.where(chosen & (kind < int(0.8 * _ONE)), tables.mask_id, ids)
    random = chosen & (kind >= int(0.8 * _ONE)) & (kind < int(0.9 * _ONE))
    inputs = torch.where(random, tables.replacements[random_index], inputs)
    return inputs, torch.where(chosen, ids, IGNORE)


def target_positions(targets: torch.Tensor, allowed: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(flat positions of the targets, their original ids), both int64 [P]. `targets` is a result of `mask_tokens`.

    P is rounded up to the next of the `allowed` numbers; see `shapes.target_counts`. The added entries come last; they
    have position 0 and id -100.
    """
    positions = torch.nonzero(targets.flatten() != IGNORE).squeeze(1)
    gold = targets.flatten().index_select(0, positions)
    filler = 0 if allowed is None else int(allowed[np.searchsorted(allowed, len(positions))]) - len(positions)
    return F.pad(positions, (0, filler)), F.pad(gold, (0, filler), value=IGNORE)


def _count_in_examples(counted: torch.Tensor, example: torch.Tensor, examples: int) -> torch.Tensor:
    """int64 [rows, S + 1]: number of `counted` tokens on the padding of a row, and in each of its S examples.

    `counted`: bool [rows, width]. `example`: int64 [rows, width], the attention mask of a batch. `examples`: S.
    """
    counts = torch.zeros(len(example), examples + 1, dtype=torch.int64)
    return counts.scatter_add_(1, example, counted.long())


def _rank_in_examples(score: torch.Tensor, example: torch.Tensor, examples: int) -> torch.Tensor:
    """int64 [rows, width]: the rank of each token in its example (from 0), by `score` (62 bits) and then position."""
    bits = 62 - examples.bit_length()
    order = (example << bits | score >> (62 - bits)).argsort(dim=1, stable=True)
    place = torch.arange(example.shape[1]).expand_as(example)
    rank_in_row = torch.empty_like(order).scatter_(1, order, place)
    tokens = _count_in_examples(torch.ones_like(example, dtype=torch.bool), example, examples)
    return rank_in_row - (tokens.cumsum(dim=1) - tokens).gather(1, example)
