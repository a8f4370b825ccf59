import numpy as np
import pytest

from lyricbert.batches.packing import PackedSampler, pack
from lyricbert.errors import UserError


def lengths_of(count: int, seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).gamma(6, 2, size=count).astype(int), 3, 60)


def rows_of(sampler: PackedSampler, epoch: int) -> list[np.ndarray]:
    steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
    return [row for step in steps for batch in sampler.micro_batches(step) for row in batch]


@pytest.mark.parametrize("count", [60, 500, 5000])
def test_every_example_is_in_one_row_and_fits(count):
    lengths = lengths_of(count)
    sampler = PackedSampler(lengths, 128, 1024, 2, seed=0)
    for epoch in (0, 3):
        rows = rows_of(sampler, epoch)
        assert sorted(np.concatenate([row[row >= 0] for row in rows])) == list(range(count))
        assert max(lengths[row[row >= 0]].sum() for row in rows) <= 128


def test_rows_are_almost_full_and_batches_of_equal_size():
    lengths = lengths_of(20_000)
    sampler = PackedSampler(lengths, 128, 2048, 4, seed=0)
    assert lengths.sum() / (128 * sampler.rows) > 0.98
    sizes = {len(batch) for step in range(sampler.steps_per_epoch) for batch in sampler.micro_batches(step)}
    assert max(sizes) <= 16
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "lengths", [[5], [100] * 3, [3] * 1000, [64, 64, 60, 9, 9, 9], [128] * 4, [128, 1, 127], [43] * 7]
)
def test_packing_keeps_every_example(lengths):
    kinds = pack(np.bincount(lengths), 128)
    assert sorted(length for count, row in kinds for length in row * count) == sorted(lengths)
    assert all(sum(row) <= 128 for _, row in kinds)
    fewest = max(-(-sum(lengths) // 128), sum(length > 64 for length in lengths))
    assert sum(count for count, _ in kinds) <= fewest + 1


def test_epochs_differ_and_ranks_share_the_micro_batches():
    sampler = PackedSampler(lengths_of(500), 128, 1024, 2, seed=0)
    first, second = rows_of(sampler, 0), rows_of(sampler, 1)
    assert {tuple(row) for row in first} & {tuple(row) for row in second} == set()
    alone = sampler.micro_batches(3)
    shared = [sampler.micro_batches(3, rank, 2)[0] for rank in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_too_narrow_a_budget_and_too_few_rows_are_refused():
    with pytest.raises(UserError, match="a packed row alone needs 128"):
        PackedSampler(np.array([5, 6]), 128, 100, 1, 0)
    with pytest.raises(UserError, match="too few"):
        PackedSampler(np.array([5, 6, 7, 8]), 128, 128, 4, 0)
