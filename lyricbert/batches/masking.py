"""The masking function: which tokens the model has to predict, and what it sees in their place.

15 % of each line's tokens by default, of which 80 % become [MASK], 10 % a random token, 10 % stay (Devlin et al.,
"BERT", 2019, section 3.1). Every choice is a hash of (key, example, position): the same for any number of ranks, any
batch the example is in, any machine. Masks are made on the CPU, ahead of the step that needs them: the GPU does not
wait for the number of targets, which the shapes and the loss depend on.
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
    """What masking needs of a vocabulary of V tokens.

    `is_special`: bool [V]. `replacements`: int64, every id that is not special. `mask_id`: the id of [MASK].
    """

    is_special: torch.Tensor
    replacements: torch.Tensor
    mask_id: int

    @staticmethod
    def of(vocabulary: Vocabulary) -> "MaskingTables":
        is_special = torch.from_numpy(vocabulary.is_special)
        return MaskingTables(is_special, torch.nonzero(~is_special).squeeze(1), vocabulary.mask)


def training_key(seed: int, epoch: int, masking: str) -> int:
    """The key of an epoch's masks: "dynamic" draws new ones every epoch, "static" keeps those of the first."""
    return derive_key("mask", seed, epoch if masking == "dynamic" else 0)


def evaluation_key() -> int:
    """The key of evaluation: one for all runs and models, so that their losses are paired."""
    return derive_key("evaluation mask")


def mask_tokens(batch: Batch, tables: MaskingTables, rate: float, key: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask a batch. Returns (inputs, targets), both int64 [rows, width].

    `rate`: share of an example's tokens to predict, special tokens not counted. `targets` is the original id where the
    model has to predict, else -100.

    An example of n tokens has `floor(rate * n + u)` targets, u uniform in [0, 1): `rate * n` on average. It has one at
    least (if it has a token that is not special).
    """
    ids, example, position = batch.input_ids, batch.attention_mask, batch.position_ids
    maskable = (example > 0) & ~tables.is_special[ids]
    # Integers only, so that every machine rounds alike. A draw is its own hash of the example's key and the position.
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
    """(flat positions of the targets, the original ids there), both int64 [P], of `targets` from `mask_tokens`.

    P is rounded up to the next of the `allowed` numbers (see `shapes.target_counts`) by position 0 with the id -100.
    These fillers come last.
    """
    positions = torch.nonzero(targets.flatten() != IGNORE).squeeze(1)
    gold = targets.flatten().index_select(0, positions)
    filler = 0 if allowed is None else int(allowed[np.searchsorted(allowed, len(positions))]) - len(positions)
    return F.pad(positions, (0, filler)), F.pad(gold, (0, filler), value=IGNORE)


def _count_in_examples(counted: torch.Tensor, example: torch.Tensor, examples: int) -> torch.Tensor:
    """int64 [rows, S + 1]: how many of a row's tokens are counted, on padding and in each of its S examples.

    `counted`: bool [rows, width]. `example`: int64 [rows, width], a batch's attention mask. `examples`: S.
    """
    counts = torch.zeros(len(example), examples + 1, dtype=torch.int64)
    return counts.scatter_add_(1, example, counted.long())


def _rank_in_examples(score: torch.Tensor, example: torch.Tensor, examples: int) -> torch.Tensor:
    """int64 [rows, width]: how many tokens of its example come before a token, by `score` (62 bits) and then place."""
    bits = 62 - examples.bit_length()
    order = (example << bits | score >> (62 - bits)).argsort(dim=1, stable=True)
    place = torch.arange(example.shape[1]).expand_as(example)
    rank_in_row = torch.empty_like(order).scatter_(1, order, place)
    tokens = _count_in_examples(torch.ones_like(example, dtype=torch.bool), example, examples)
    return rank_in_row - (tokens.cumsum(dim=1) - tokens).gather(1, example)
