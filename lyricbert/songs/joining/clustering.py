"""Group songs that are equal or near into clusters."""

from dataclasses import dataclass

import numpy as np

from lyricbert.songs.groups import group_sums
from lyricbert.songs.joining.clusters import Clusters
from lyricbert.songs.joining.common_lines import unite_songs_with_common_lines
from lyricbert.songs.joining.near_duplicates import unite_equal_signatures, unite_songs_with_common_words
from lyricbert.songs.joining.song_blocks import SongBlock
from lyricbert.songs.signatures import COMPONENTS


@dataclass(frozen=True)
class Songs:
    """What is known of all songs of some shards.

    `keys`: int64 [songs]. `lines`: int64 [songs], the number of lines. `signatures`: uint8 [songs, COMPONENTS].
    """

    keys: np.ndarray
    lines: np.ndarray
    signatures: np.ndarray


def read_songs(blocks: list[SongBlock]) -> Songs:
    """Read what `Songs` has."""
    count = blocks[-1].songs.of_all.stop if blocks else 0
    songs = Songs(np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, COMPONENTS), np.uint8))
    for block in blocks:
        songs.keys[block.songs.of_all] = block.read("song_keys")
        songs.lines[block.songs.of_all] = group_sums(block.read("section_lines"), block.read("song_sections"))
        songs.signatures[block.songs.of_all] = block.read("signatures")
    return songs


def longest_of_equal_songs(songs: Songs) -> np.ndarray:
    """int64 [songs]: of the songs with the same key, the one with the most lines; of several, the first.

    Equal songs differ in their number of lines if a finished store lacks some: validation lines that would leak.
    """
    return longest_of_clusters(songs, np.unique(songs.keys, return_inverse=True)[1])


def find_clusters(songs: Songs, blocks: list[SongBlock], original: np.ndarray, near: bool) -> np.ndarray:
    """int64 [songs]: a number for each cluster of songs that are equal or, if `near`, near.

    `original`: what `longest_of_equal_songs` returns.
    """
    everything = np.arange(len(original))
    clusters = Clusters(len(original))
    clusters.unite(everything, original)
    if near:
        distinct = everything[original == everything]
        of_each_signature = unite_equal_signatures(clusters, songs.signatures, distinct)
        unite_songs_with_common_words(clusters, songs.signatures, of_each_signature)
        # Songs with equal signatures may have other line breaks, so all are compared with the others here.
        unite_songs_with_common_lines(clusters, blocks, songs.lines, songs.signatures, distinct)
    return clusters.roots(everything)


def describe_clusters(clusters: np.ndarray, original: np.ndarray) -> dict[str, int]:
    """Counts of the clusters of several different songs, of their songs, and of the songs of the largest one."""
    sizes = np.bincount(clusters[original == np.arange(len(original))])
    sizes = sizes[sizes > 1]
    return {"clusters": len(sizes), "songs": int(sizes.sum()), "largest": int(sizes.max(initial=0))}


def longest_of_clusters(songs: Songs, clusters: np.ndarray) -> np.ndarray:
    """int64 [songs]: the song with the most lines in the cluster of each song; of several, the one with the lowest key.

    Of equal songs it is the first.
    """
    order = np.lexsort((songs.keys, -songs.lines, clusters))
    cluster, first = np.unique(clusters[order], return_index=True)
    longest: np.ndarray = order[first][np.searchsorted(cluster, clusters)]
    return longest
