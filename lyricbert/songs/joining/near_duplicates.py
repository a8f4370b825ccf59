"""Find songs that share much of their text: re-uploads, covers, live versions, excerpts, other line breaks.

Songs are compared by the MinHash of their pairs of neighbouring words. Comparing all songs with each other would take
quadratic time, so only songs that are in a bucket together are compared (locality-sensitive hashing). Whether two songs
are near depends on these two only, not on the other songs.

Source: Lee et al., "Deduplicating Training Data Makes Language Models Better", 2021, which finds near-duplicate
documents in the same way.
"""

from collections.abc import Iterator

import numpy as np

from lyricbert.hashing import derive_key, hash64, permute
from lyricbert.songs.joining.buckets import pairs_in_buckets
from lyricbert.songs.joining.clusters import Clusters
from lyricbert.songs.signatures import COMPONENTS, agreement

# Songs are near if this share of the components of their signatures agrees. Measured: see docs/splitting.md.
NEAR = 0.25
# A bucket holds the songs that agree in these components. With 192 buckets a song, 99 % of the pairs that agree in 39 %
# of all components are in a bucket together, and 92 % of the pairs with 34 %.
_ROWS = 4
_ROUNDS = 6  # each divides the components into bands of _ROWS


def unite_equal_signatures(clusters: Clusters, signatures: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Unite songs with equal signatures. Returns one song of each signature: int64 [distinct signatures].

    `signatures`: uint8 [all songs, COMPONENTS]. `songs`: int64 [N], the songs that are compared.
    """
    keys = np.zeros(len(songs), np.int64)
    for component in range(COMPONENTS):
        keys = hash64(keys, signatures[songs, component].astype(np.int64))
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    clusters.unite(songs, songs[first][place])
    distinct: np.ndarray = songs[first]
    return distinct


def unite_songs_with_common_words(clusters: Clusters, signatures: np.ndarray, songs: np.ndarray) -> None:
    """Unite songs whose signatures agree in a share of at least `NEAR` of their components.

    `songs`: int64 [N], with different signatures.
    """
    for components in _bands():
        keys = np.zeros(len(songs), np.int64)
        for component in components[:_ROWS]:
            keys = keys << 8 | signatures[songs, component]
        for a, b in pairs_in_buckets(keys, songs, signatures, components[_ROWS:]):
            a, b = clusters.pairs_apart(a, b)
            near = agreement(signatures, a, b) >= NEAR
            clusters.unite(a[near], b[near])


def _bands() -> Iterator[np.ndarray]:
    """Yield all components in an order that begins with those of the band, for each band."""
    for turn in range(_ROUNDS):
        order = permute(derive_key("band", turn), COMPONENTS, np.arange(COMPONENTS))
        for start in range(0, COMPONENTS, _ROWS):
            yield np.roll(order, -start)
