import numpy as np
import pytest
import torch

from lyricbert.batches.batching import Batch, make_batch
from lyricbert.batches.examples import line_examples, section_examples
from lyricbert.batches.masking import IGNORE, MaskingTables, evaluation_key, mask_tokens, target_positions, training_key
from lyricbert.songs.store import TRAIN
from lyricbert.songs.tokenizer import Vocabulary, vocabulary

SIZE = 1000
SPECIAL = [0, 1, 2, 3, 4]
PAD, CLS, SEP, MASK = 0, 2, 3, 4


@pytest.fixture
def tables() -> MaskingTables:
    is_special = np.isin(np.arange(SIZE), SPECIAL)
    words = np.zeros(SIZE, dtype=bool)
    return MaskingTables.of(Vocabulary(SIZE, PAD, CLS, SEP, MASK, is_special, words, words))


def padded_lines(rows: int, seed: int = 0, shortest: int = 1, longest: int = 20) -> Batch:
    """Lines of random lengths between [CLS] and [SEP], padded."""
    source = np.random.default_rng(seed)
    lengths = source.integers(shortest, longest + 1, size=rows)
    ids = np.full((rows, longest + 2), PAD)
    position = np.arange(longest + 2)
    inside = (position >= 1) & (position <= lengths[:, None])
    ids[inside] = source.integers(len(SPECIAL), SIZE, size=inside.sum())
    ids[:, 0] = CLS
    ids[np.arange(rows), lengths + 1] = SEP
    mask = (position <= lengths[:, None] + 1).astype(np.int64)
    return batch_of(torch.from_numpy(ids), torch.from_numpy(mask), torch.arange(rows))


def batch_of(ids: torch.Tensor, mask: torch.Tensor, examples: torch.Tensor) -> Batch:
    places = torch.arange(ids.shape[1]).expand_as(ids)
    return Batch(ids, mask, places, examples[:, None], lines=len(ids), real_tokens=int(mask.sum()))


def test_15_percent_and_80_10_10_over_100k_tokens(tables):
    batch = padded_lines(8000, shortest=7)
    inputs, targets = mask_tokens(batch, tables, 0.15, training_key(0, 0, "dynamic"))
    maskable = (batch.attention_mask == 1) & (batch.input_ids >= len(SPECIAL))
    chosen = targets != IGNORE
    assert maskable.sum() > 100_000
    # Lines of at least 7 tokens have 15 % targets on average. Over 8,000 lines the deviation is far below 0.2 points.
    assert chosen.sum() / maskable.sum() == pytest.approx(0.15, abs=0.002)
    of_chosen = chosen.sum().item()
    masked = (inputs[chosen] == MASK).sum().item() / of_chosen
    kept = (inputs[chosen] == targets[chosen]).sum().item() / of_chosen
    assert masked == pytest.approx(0.8, abs=0.01)
    assert kept == pytest.approx(0.1, abs=0.01)
    assert 1 - masked - kept == pytest.approx(0.1, abs=0.01)
    random = inputs[chosen & (inputs != MASK) & (inputs != targets)]
    assert not torch.isin(random, torch.tensor(SPECIAL)).any()
    assert len(random.unique()) > 500


def test_padding_and_special_tokens_are_never_targets_and_other_tokens_stay(tables):
    batch = padded_lines(2000)
    ids, mask = batch.input_ids, batch.attention_mask
    ids[::7, 1] = 1  # [UNK] in place of some words
    for rate in (0.15, 0.5, 0.99):
        inputs, targets = mask_tokens(batch, tables, rate, 5)
        chosen = targets != IGNORE
        assert not chosen[mask == 0].any()
        assert not chosen[torch.isin(ids, torch.tensor(SPECIAL))].any()
        assert torch.equal(targets[chosen], ids[chosen])
        assert torch.equal(inputs[~chosen], ids[~chosen])


def test_every_line_has_a_target_and_the_count_is_near_the_rate(tables):
    batch = padded_lines(5000)
    count = (mask_tokens(batch, tables, 0.15, 11)[1] != IGNORE).sum(dim=1)
    length = ((batch.attention_mask == 1) & (batch.input_ids >= len(SPECIAL))).sum(dim=1)
    assert count.min() == 1
    assert (count >= torch.floor(0.15 * length)).all()
    assert (count <= torch.floor(0.15 * length) + 1).all()
    assert (count[length == 20] == 3).all()  # 15 % of 20 is a whole number


def test_all_positions_are_chosen_equally_often(tables):
    batch = padded_lines(20_000, shortest=10, longest=10)
    chosen = mask_tokens(batch, tables, 0.15, 3)[1] != IGNORE
    share = chosen[:, 1:11].float().mean(dim=0)
    assert torch.allclose(share, torch.full((10,), 0.15), atol=0.012)


def test_a_line_has_the_same_mask_in_any_batch(tables):
    batch = padded_lines(200)
    whole = mask_tokens(batch, tables, 0.15, 9)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    for rows in order.split(33):
        wider = [torch.nn.functional.pad(tensor[rows], (0, 5)) for tensor in (batch.input_ids, batch.attention_mask)]
        inputs, targets = mask_tokens(batch_of(*wider, batch.example_ids[rows, 0]), tables, 0.15, 9)
        assert torch.equal(inputs[:, :-5], whole[0][rows])
        assert torch.equal(targets[:, :-5], whole[1][rows])
        assert (targets[:, -5:] == IGNORE).all()


def test_dynamic_masks_change_with_the_epoch_and_static_ones_do_not():
    assert training_key(0, 0, "dynamic") != training_key(0, 1, "dynamic") != training_key(1, 1, "dynamic")
    assert training_key(0, 0, "static") == training_key(0, 7, "static") != training_key(1, 0, "static")
    assert evaluation_key() not in {training_key(seed, 0, "static") for seed in range(100)}


def test_different_keys_mask_differently(tables):
    batch = padded_lines(500, shortest=10)
    first = mask_tokens(batch, tables, 0.15, training_key(0, 0, "dynamic"))[1] != IGNORE
    second = mask_tokens(batch, tables, 0.15, training_key(0, 1, "dynamic"))[1] != IGNORE
    both = (first & second).sum() / first.sum()
    assert both == pytest.approx(0.15, abs=0.03)


def test_the_separator_within_a_section_is_never_masked(store, tokenizer):
    words = vocabulary(tokenizer)
    tables = MaskingTables.of(words)
    for view in (line_examples, section_examples):
        examples = view(store, TRAIN)
        batch = make_batch(examples, np.arange(len(examples))[:, None], words)
        _, targets = mask_tokens(batch, tables, 0.5, 1)
        assert not torch.isin(targets, torch.tensor([words.sep, words.cls, words.pad, words.mask])).any()
        assert ((targets != IGNORE).sum(dim=1) >= 1).all()


def test_target_positions_are_found_and_padded_to_a_multiple(tables):
    _, targets = mask_tokens(padded_lines(50), tables, 0.15, 2)
    positions, gold = target_positions(targets)
    assert torch.equal(positions, torch.nonzero(targets.flatten() != IGNORE).squeeze(1))
    assert torch.equal(gold, targets[targets != IGNORE])
    filled_positions, filled_gold = target_positions(targets, np.array([7, len(gold), len(gold) + 9]))
    assert len(filled_positions) == len(gold)
    filled_positions, filled_gold = target_positions(targets, np.array([7, len(gold) + 3, len(gold) + 9]))
    assert len(filled_positions) == len(filled_gold) == len(gold) + 3
    assert torch.equal(filled_gold[filled_gold != IGNORE], gold)
    assert torch.equal(filled_positions[: len(gold)], positions)
