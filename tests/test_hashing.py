import numpy as np
import torch

from lyricbert.hashing import derive_key, hash64, top_bits


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


def test_keys_differ_in_every_part():
    keys = {derive_key("mask", seed, epoch) for seed in range(50) for epoch in range(50)}
    assert len(keys) == 2500
    assert derive_key("a", 1) == derive_key("a", 1)
