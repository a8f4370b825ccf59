"""MinHash signatures of songs, by which songs that share much of their text are found.

Source: Broder, "On the resemblance and containment of documents", 1997.
"""

import numpy as np

from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.songs.groups import group_starts

COMPONENTS = 128


def signatures(hashes: np.ndarray, words_of_song: np.ndarray) -> np.ndarray:
    """uint8 [songs, COMPONENTS]: the MinHash signature of the pairs of neighbouring words of each song.

    `hashes`: int64 [words]. `words_of_song`: int64 [songs], at least 1 each. Two signatures agree in a share of
    components that estimates the share of word pairs that the songs have in common: J + (1 - J) / 256, where J is the
    Jaccard similarity of the sets of word pairs. Pairs reach over the ends of lines, so breaking lines elsewhere
    changes nothing. The last word of a song is paired with its first, so even one word makes a pair.

    Source for eight bits of each minimum: Li and König, "b-Bit minwise hashing", 2010.
    """
    starts = group_starts(words_of_song)
    following = np.arange(1, len(hashes) + 1)
    following[starts + words_of_song - 1] = starts
    pairs = top_bits(hash64(hashes, hashes[following]), 32).astype(np.uint32)
    result = np.empty((len(words_of_song), COMPONENTS), np.uint8)
    for component, multiplier in enumerate(_MULTIPLIERS):
        minima = np.minimum.reduceat(pairs * multiplier, starts) if len(starts) else pairs
        result[:, component] = (minima * _MIXER) >> 24
    return result


# Multiplying by an odd number permutes the numbers of 32 bits.
_MULTIPLIERS = top_bits(hash64(derive_key("signature"), np.arange(COMPONENTS)), 32).astype(np.uint32) | np.uint32(1)
_MIXER = np.uint32(0x9E3779B1)


def agreement(signatures: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 [pairs]: the share of components that agree in the signatures of the songs a[i] and b[i]."""
    share: np.ndarray = np.count_nonzero(signatures[a] == signatures[b], axis=1) / COMPONENTS
    return share
