import numpy as np
import pytest
import torch

from lyricbert.hashing import derive_key, hash64, permute, top_bits


def test_numpy_and_torch_give_the_same_bits():
    values = np.arange(-500, 500)
    key = derive_key("anything", 7)
    assert np.array_equal(hash64(key, values), hash64(key, torch.from_numpy(values)).numpy())


def test_hashes_are_uniform_and_do_not_collide():
    hashed = hash64(derive_key("x"), np.arange(100_000))
    assert len(np.unique(hashed)) == 100_000
    share = top_bits(hashed, 24) / 2**24
    assert share.min() >= 0
    assert share.max() < 1
    counts, _ = np.histogram(share, bins=20, range=(0, 1))
    assert np.all(np.abs(counts - 5000) < 5 * np.sqrt(5000))


def test_every_part_changes_the_key():
    keys = {derive_key("mask", seed, epoch) for seed in range(50) for epoch in range(50)}
    assert len(keys) == 2500
    assert derive_key("a", 1) == derive_key("a", 1)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65, 1000])
def test_a_permutation_maps_to_every_position_once(count):
    places = permute(derive_key("p", count), count, np.arange(count))
    assert sorted(places) == list(range(count))
    assert permute(derive_key("p", count), count, np.array([count - 1])) == places[-1]


def test_permutations_are_uniform_and_differ_by_key():
    count, keys = 1000, range(200)
    table = np.stack([permute(derive_key(key), count, np.arange(count)) for key in keys])
    assert len({tuple(row) for row in table}) == len(keys)
    # Each tenth of the positions should be mapped into each tenth 200 * 100 * 100 / 1000 = 2000 times.
    tenths = np.array([np.bincount(table[:, n : n + 100].ravel() // 100) for n in range(0, count, 100)])
    assert np.all(np.abs(tenths - 2000) < 5 * np.sqrt(2000))
    neighbours = np.abs(np.diff(table, axis=1)) == 1
    assert neighbours.mean() == pytest.approx(2 / count, rel=0.2)


def test_permutations_of_different_sizes_in_one_call():
    counts = np.repeat([1, 5, 300], [1, 5, 300])
    index = np.concatenate([np.arange(n) for n in (1, 5, 300)])
    together = permute(derive_key("q") + counts, counts, index)
    for count in (1, 5, 300):
        alone = permute(derive_key("q") + count, count, np.arange(count))
        assert np.array_equal(together[counts == count], alone)
