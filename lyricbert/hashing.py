"""Stateless randomness: every random choice is a hash of what it is for, so there is no generator state to save.

The same integer operations run on numpy arrays and on torch tensors of any device, and give the same bits.
Source: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

# torch is named only, so that modules which hash numpy arrays do not import it.
Int64s = TypeVar("Int64s", np.ndarray, "torch.Tensor")

_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64
_TURNS = 6


def derive_key(*parts: int | str) -> int:
    """A signed 64-bit key from names and numbers, such as `derive_key("mask", seed, epoch)`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def hash64(key: int | Int64s, values: Int64s) -> Int64s:
    """Hash int64 `values` under an int64 `key` (int or broadcastable array): int64 array, all 64 bits random."""
    x: Int64s = values * _GAMMA + key
    x = (x ^ _shift_right(x, 30)) * _MULTIPLIER_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLIER_2
    hashed: Int64s = x ^ _shift_right(x, 31)
    return hashed


def top_bits(hashed: Int64s, bits: int | Int64s) -> Int64s:
    """The top `bits` (at most 63) of int64 hashes as non-negative int64 numbers below `2**bits`."""
    return _shift_right(hashed, 64 - bits)


def _shift_right(x: Int64s, bits: int | Int64s) -> Int64s:
    # int64 shifts keep the sign on both libraries; masking makes the shift a logical one.
    shifted: Int64s = (x >> bits) & ((1 << (64 - bits)) - 1)
    return shifted


def permute(key: int | np.ndarray, count: int | np.ndarray, index: np.ndarray) -> np.ndarray:
    """The places, int64, to which a random permutation of `count` things takes those at `index`, int64.

    `key` and `count` are integers, or arrays like `index` where each element belongs to a permutation of its own. A
    Feistel network of six rounds, walked until it ends below `count` (Black and Rogaway, "Ciphers with Arbitrary
    Finite Domains", 2002): nothing is stored, and any place can be asked for by itself.
    """
    key, count, place = np.broadcast_arrays(key, count, np.asarray(index, np.int64))
    half = np.maximum(3, (np.ceil(np.log2(np.maximum(count, 2))).astype(np.int64) + 1) // 2)
    place = _feistel(key, half, place)
    while len(outside := np.flatnonzero(place >= count)):
        place[outside] = _feistel(key[outside], half[outside], place[outside])
    return place


def _feistel(key: np.ndarray, half: np.ndarray, value: np.ndarray) -> np.ndarray:
    """A permutation of the numbers of 2 * `half` bits."""
    left, right = value >> half, value & ((1 << half) - 1)
    for turn in range(_TURNS):
        left, right = right, left ^ top_bits(hash64(key, right * _TURNS + turn), half)
    joined: np.ndarray = left << half | right
    return joined
