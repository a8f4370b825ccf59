"""Split songs into training and validation."""

import numpy as np

from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.songs.store import TRAIN, VALIDATION

_BITS = 53  # a float has as many


def split_songs(song_keys: np.ndarray, clusters: np.ndarray, val_fraction: float, seed: int) -> np.ndarray:
    """uint8 [songs]: TRAIN or VALIDATION. All songs of a cluster are on the same side.

    `song_keys`: int64 [songs]. `clusters`: int64 [songs], a number below `songs` for each cluster. A cluster is held
    out if a hash of its smallest song key is below `val_fraction`. So adding songs moves a song only if one of the
    added songs joins its cluster. The number of songs that are held out is random.
    """
    smallest = np.full(len(song_keys), np.iinfo(np.int64).max)
    np.minimum.at(smallest, clusters, song_keys)
    hashed = top_bits(hash64(derive_key("split", seed), smallest[clusters]), _BITS)
    return np.where(hashed < val_fraction * 2**_BITS, VALIDATION, TRAIN).astype(np.uint8)
