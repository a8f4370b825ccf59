"""Find songs that share many lines, although their signatures differ: excerpts and live versions."""

import numpy as np

from lyricbert.hashing import derive_key
from lyricbert.songs.groups import group_starts
from lyricbert.songs.joining.buckets import pairs_in_buckets
from lyricbert.songs.joining.clusters import Clusters
from lyricbert.songs.joining.song_blocks import SongBlock
from lyricbert.songs.signatures import agreement

# Songs are near if they share this part of the different lines of the one that has fewer of them.
NEAR = 0.5
# Reading lines takes time, so only pairs whose signatures also agree in this share of their components are compared.
_PLAUSIBLE = 0.08
# Of pairs with a tenth of all their lines in common, this many minima find 97 %.
_MINIMA = 32


def unite_songs_with_common_lines(
    clusters: Clusters, blocks: list[SongBlock], song_lines: np.ndarray, signatures: np.ndarray, songs: np.ndarray
) -> None:
    """Unite songs that share at least `NEAR` of the different lines of the shorter one.

    Only songs are compared whose line with the smallest hash is the same, for one of several hashes (MinHash).
    `song_lines`: int64 [all songs], lines of each song. `songs`: int64 [N]. Those with equal `signatures` must be
    united.
    """
    lines = _Lines(blocks, song_lines)
    for number in range(_MINIMA):
        minima = lines.minima(derive_key("line", number) | 1)
        spare = np.roll(np.arange(signatures.shape[1]), number)
        for a, b in pairs_in_buckets(minima[songs], songs, signatures, spare):
            a, b = clusters.pairs_apart(a, b)
            plausible = agreement(signatures, a, b) >= _PLAUSIBLE
            a, b = a[plausible], b[plausible]
            near = np.fromiter(map(lines.common_share, a, b), float, len(a)) >= NEAR
            clusters.unite(a[near], b[near])


class _Lines:
    """The keys of the lines of all songs, read from disk."""

    def __init__(self, blocks: list[SongBlock], song_lines: np.ndarray):
        self._blocks, self._song_lines = blocks, song_lines
        self._starts = group_starts(song_lines)
        self._first_songs = np.array([block.songs.first for block in blocks])

    def minima(self, multiplier: int) -> np.ndarray:
        """int64 [all songs]: the smallest of the line keys of each song, after multiplication by an odd number."""
        minima = np.empty(len(self._song_lines), np.int64)
        for block in self._blocks:
            starts = self._starts[block.songs.of_all] - block.lines.first
            minima[block.songs.of_all] = np.minimum.reduceat(block.read("line_keys") * multiplier, starts)
        return minima

    def common_share(self, a: int, b: int) -> float:
        """The lines that two songs share, as a part of the different lines of the song that has fewer of them."""
        keys_a, keys_b = self._different(a), self._different(b)
        return len(np.intersect1d(keys_a, keys_b, assume_unique=True)) / min(len(keys_a), len(keys_b))

    def _different(self, song: int) -> np.ndarray:
        block = self._blocks[int(np.searchsorted(self._first_songs, song, "right")) - 1]
        start = block.lines.start + int(self._starts[song]) - block.lines.first
        keys = block.shard.columns["line_keys"].read(start, start + int(self._song_lines[song]))
        return np.unique(keys)
