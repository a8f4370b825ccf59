"""The masking function: which tokens the model has to predict, and what it sees in their place.

15 % of each line's tokens by default, of which 80 % become [MASK], 10 % a random token, 10 % stay (Devlin et al.,
"BERT", 2019, section 3.1). Every choice is a hash of (key, example, position): the same for any number of ranks, any
batch the example is in, CPU or GPU.
"""

from dataclasses import dataclass

import torch

from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.tokenizer import Vocabulary

IGNORE = -100
EVAL_MASK_RATE = 0.15
_BITS = 24
_ONE = 1 << _BITS


@dataclass(frozen=True)
class MaskingTables:
    """What masking needs of a vocabulary of V tokens, on one device.

    `is_special`: bool [V]. `replacements`: int64, every id that is not special. `mask_id`: the id of [MASK].
    """

    is_special: torch.Tensor
    replacements: torch.Tensor
    mask_id: int

    @staticmethod
    def of(vocabulary: Vocabulary, device: torch.device) -> "MaskingTables":
        is_special = torch.from_numpy(vocabulary.is_special).to(device)
        return MaskingTables(is_special, torch.nonzero(~is_special).squeeze(1), vocabulary.mask)


def training_key(seed: int, epoch: int, masking: str) -> int:
    """The key of an epoch's masks: "dynamic" draws new ones every epoch, "static" keeps those of the first."""
    return derive_key("mask", seed, epoch if masking == "dynamic" else 0)


def evaluation_key() -> int:
    """The key of evaluation: one for all runs and models, so that their losses are paired."""
    return derive_key("evaluation mask")


def mask_tokens(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    example_ids: torch.Tensor,
    tables: MaskingTables,
    rate: float,
    key: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask a batch. Returns (inputs, targets), both int64 [rows, width].

    `input_ids`, `attention_mask`: int64 [rows, width]. `example_ids`: int64 [rows]. `rate`: share of a line's tokens
    to predict, special tokens not counted. `targets` is the original id where the model has to predict, else -100.

    A line of n tokens has `floor(rate * n + u)` targets, u uniform in [0, 1): `rate * n` on average. A line has one at
    least (if it has a token that is not special).
    """
    maskable = (attention_mask == 1) & ~tables.is_special[input_ids]
    # Integers only, so that every device rounds alike. A draw is its own hash of the row's key and the position.
    row_key = hash64(key, example_ids)[:, None]
    position = torch.arange(input_ids.shape[1], device=input_ids.device)
    count = maskable.sum(dim=1, keepdim=True)
    draw = top_bits(hash64(row_key, torch.full_like(count, -1)), _BITS)
    wanted = ((count * round(rate * _ONE) + draw) >> _BITS).clamp(min=1)

    score = top_bits(hash64(row_key, 4 * position), 62).masked_fill(~maskable, 1 << 62)
    # The `wanted` lowest scores of a row; the last of them is the row's threshold.
    threshold = score.sort(dim=1).values.gather(1, wanted - 1)
    chosen = maskable & (score <= threshold)

    kind = top_bits(hash64(row_key, 4 * position + 1), _BITS)
    random_index = top_bits(hash64(row_key, 4 * position + 2), 62) % len(tables.replacements)
    inputs = torch.where(chosen & (kind < int(0.8 * _ONE)), tables.mask_id, input_ids)
    random = chosen & (kind >= int(0.8 * _ONE)) & (kind < int(0.9 * _ONE))
    inputs = torch.where(random, tables.replacements[random_index], inputs)
    return inputs, torch.where(chosen, input_ids, IGNORE)
