"""Stateless randomness: every random choice is a hash of its purpose, so there is no RNG state to save.

The integer operations give the same bits on numpy arrays and on torch tensors of any device.
Source: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

# Quoted, so that modules that hash numpy arrays do not import torch.
Int64s = TypeVar("Int64s", np.ndarray, "torch.Tensor")

_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64
_TURNS = 6


def derive_key(*parts: int | str) -> int:
    """A signed 64-bit key from names and numbers, for example `derive_key("mask", seed, epoch)`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def hash64(key: int | Int64s, values: Int64s) -> Int64s:
    """Hash int64 `values` with `key`, an int or an int64 array that broadcasts. Returns int64 with 64 random bits."""
    x: Int64s = values * _GAMMA + key
    x = (x ^ _shift_right(x, 30)) * _MULTIPLIER_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLIER_2
    hashed: Int64s = x ^ _shift_right(x, 31)
    return hashed


def top_bits(hashed: Int64s, bits: int | Int64s) -> Int64s:
    """The top `bits` (at most 63) of int64 hashes: non-negative int64 numbers below `2**bits`."""
    return _shift_right(hashed, 64 - bits)


def _shift_right(x: Int64s, bits: int | Int64s) -> Int64s:
    # `>>` of int64 keeps the sign in both libraries. The mask makes it a logical shift.
    shifted: Int64s = (x >> bits) & ((1 << (64 - bits)) - 1)
    return shifted


def permute(key: int | np.ndarray, count: int | np.ndarray, index: np.ndarray) -> np.ndarray:
    """The int64 positions to which a random permutation of `count` elements moves the elements at `index` (int64).

    `key` and `count` are integers, or arrays of the shape of `index` if elements belong to different permutations. The
    permutation is a Feistel network of six rounds, repeated until the result is below `count` (Black and Rogaway,
    "Ciphers with Arbitrary Finite Domains", 2002). It is not stored; each position is computed independently.
    """
    key, count, place = np.broadcast_arrays(key, count, np.asarray(index, np.int64))
    half = np.maximum(3, (np.ceil(np.log2(np.maximum(count, 2))).astype(np.int64) + 1) // 2)
    place = _feistel(key, half, place)
    while len(outside := np.flatnonzero(place >= count)):
        place[outside] = _feistel(key[outside], half[outside], place[outside])
    return place


def _feistel(key: np.ndarray, half: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Permute the numbers of 2 * `half` bits: int64 `value` -> int64 of the same shape."""
    left, right = value >> half, value & ((1 << half) - 1)
    for turn in range(_TURNS):
        left, right = right, left ^ top_bits(hash64(key, right * _TURNS + turn), half)
    joined: np.ndarray = left << half | right
    return joined
