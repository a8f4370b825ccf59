"""Find pairs of songs with equal keys, without the quadratic time that keys of very many songs would take."""

from collections.abc import Iterator

import numpy as np

from lyricbert.hashing import hash64

# Songs in a bucket are compared with each other, so a bucket of n songs costs n * (n - 1) / 2 comparisons.
MOST_SONGS = 100
_PAIRS_AT_ONCE = 2**15


def pairs_in_buckets(
    keys: np.ndarray, songs: np.ndarray, signatures: np.ndarray, components: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs of songs with equal keys as two arrays int64 [pairs], some thousands at once.

    `keys` and `songs`: int64 [N]. `signatures`: uint8 [all songs, C]. A bucket of more than `MOST_SONGS` songs is
    divided until it is small enough: its songs must also agree in more `components` of their signatures. Such buckets
    are of songs with the same few words, such as "la la la". Of more songs with the same signature, not all pairs
    are yielded.
    """
    order = np.argsort(keys)
    keys, songs = keys[order], songs[order]
    keys, songs = _without_single(keys, songs)
    for component in components:
        _, bucket, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        crowded = sizes[bucket] > MOST_SONGS
        if not crowded.any():
            break
        keys[crowded] = hash64(keys[crowded], signatures[songs[crowded], component].astype(np.int64))
        order = np.argsort(keys)
        keys, songs = _without_single(keys[order], songs[order])
    left = np.arange(len(keys))
    for distance in range(1, MOST_SONGS):
        left = left[: np.searchsorted(left, len(keys) - distance)]
        left = left[keys[left] == keys[left + distance]]
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            some = left[start : start + _PAIRS_AT_ONCE]
            yield songs[some], songs[some + distance]


def _without_single(keys: np.ndarray, songs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted `keys` and their songs, without the keys that only one song has."""
    equals_next = keys[1:] == keys[:-1]
    shared = np.concatenate([equals_next, [False]]) | np.concatenate([[False], equals_next])
    shared = shared[: len(keys)]
    return keys[shared], songs[shared]
