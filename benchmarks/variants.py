"""Measure which variants of songs are found as near duplicates.

    python benchmarks/variants.py songs.jsonl

For each kind of variant, makes a variant of 600 of the songs, and looks for near duplicates among all songs and these
variants. Prints the share of signature components in which a variant and its song agree (mean, and the value that 1 %
of them are below), and the share of variants that are found by common words, by common lines and by either. Then it
prints how many pairs of the songs themselves have signatures that agree in which share.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from lyricbert.songs.cleaning import clean
from lyricbert.songs.groups import group_sums
from lyricbert.songs.joining.clustering import Songs, longest_of_equal_songs, read_songs
from lyricbert.songs.joining.clusters import Clusters
from lyricbert.songs.joining.common_lines import unite_songs_with_common_lines
from lyricbert.songs.joining.near_duplicates import unite_equal_signatures, unite_songs_with_common_words
from lyricbert.songs.joining.song_blocks import SongBlock, open_shard, song_blocks
from lyricbert.songs.sharding.shard import write_shard
from lyricbert.songs.signatures import COMPONENTS, agreement, signatures
from lyricbert.songs.words import line_keys, song_keys, word_hashes

SAMPLE, LEAST_LINES = 600, 8

Song = list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, help="lyrics as .jsonl")
    songs = read(parser.parse_args().songs)
    source = random.Random(0)
    sample = source.sample([number for number, song in enumerate(songs) if len(song) >= LEAST_LINES], SAMPLE)
    print("| variant | agreement, mean | 1 % below | by words | by lines | found |\n|---|---:|---:|---:|---:|---:|")
    for name, make in variants(songs, source).items():
        made = [make(songs[number]) for number in sample]
        values = measure(songs + made, np.array(sample), len(songs) + np.arange(len(made)))
        print(
            f"| {name} | {values[0]:.2f} | {values[1]:.2f} |" + "".join(f" {100 * each:.1f} % |" for each in values[2:])
        )
    print_agreement_of_all_pairs(songs)


def read(path: Path) -> list[Song]:
    with path.open(encoding="utf-8") as file:
        cleaned = [clean(json.loads(row)["lyrics"], Counter()) for row in file]
    return [[line for section in song.sections for line in section] for song in cleaned if song.sections]


def variants(songs: list[Song], source: random.Random) -> dict[str, Callable[[Song], Song]]:
    vocabulary = [word for song in songs for line in song for word in line.split()]

    def edit(line: str, kind: str) -> str:
        words = line.split()
        place = source.randrange(len(words))
        words[place : place + (kind != "insert")] = [source.choice(vocabulary)] * (kind != "delete")
        return " ".join(words or line.split())

    def rebreak(song: Song) -> Song:
        words, lines = [word for line in song for word in line.split()], []
        while words:
            count = source.randint(3, 10)
            lines.append(" ".join(words[:count]))
            words = words[count:]
        return lines

    def others(count: int) -> Song:
        return (source.choice(songs) * count)[:count]

    return {
        "capitals, accents, punctuation": lambda song: [line.upper().replace("E", "\u00c9") + "!" for line in song],
        "other line breaks": rebreak,
        "one word a line replaced": lambda song: [edit(line, "replace") for line in song],
        "one word a line inserted": lambda song: [edit(line, "insert") for line in song],
        "one word a line deleted": lambda song: [edit(line, "delete") for line in song],
        "one word a line replaced, other line breaks": lambda song: rebreak([edit(line, "replace") for line in song]),
        "two words a line replaced": lambda song: [edit(edit(line, "replace"), "replace") for line in song],
        "lines shuffled": lambda song: source.sample(song, len(song)),
        "as many lines added": lambda song: song + others(len(song)),
        "half of the lines": lambda song: song[: len(song) // 2],
        "a quarter of the lines": lambda song: song[: len(song) // 4],
        "half of the lines, as many others added": lambda song: song[: len(song) // 2] + others(len(song) // 2),
    }


def measure(songs: list[Song], a: np.ndarray, b: np.ndarray) -> list[float]:
    """[mean agreement, its 1 % quantile, found by words, by lines, by either] of the pairs a[i], b[i]."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "shard", songs)
        blocks = song_blocks([open_shard(Path(folder) / "shard")])
        known = read_songs(blocks)
        agreements = agreement(known.signatures, a, b)
        found = [find(known, blocks, *by) for by in ((True, False), (False, True), (True, True))]
    return [agreements.mean(), np.quantile(agreements, 0.01), *(float(np.mean(each[a] == each[b])) for each in found)]


def find(songs: Songs, blocks: list[SongBlock], by_words: bool, by_lines: bool) -> np.ndarray:
    """int64 [songs]: the cluster of each song."""
    everything, original = np.arange(len(songs.keys)), longest_of_equal_songs(songs)
    clusters = Clusters(len(everything))
    clusters.unite(everything, original)
    distinct = unite_equal_signatures(clusters, songs.signatures, everything[original == everything])
    if by_words:
        unite_songs_with_common_words(clusters, songs.signatures, distinct)
    if by_lines:
        unite_songs_with_common_lines(clusters, blocks, songs.lines, songs.signatures, distinct)
    return clusters.roots(everything)


def write(path: Path, songs: list[Song]) -> None:
    hashes, words = word_hashes([line for song in songs for line in song])
    lines, keys = np.array([len(song) for song in songs]), line_keys(hashes, words)
    arrays = {
        "tokens": hashes.astype(np.uint16),
        "line_lengths": words,
        "line_keys": keys,
        "token_keys": keys,
        "section_lines": lines,
        "song_sections": np.ones(len(songs), np.int32),
        "song_keys": song_keys(keys, lines),
        "signatures": signatures(hashes, group_sums(words, lines)),
    }
    write_shard(path, arrays, [], [], Counter())


def print_agreement_of_all_pairs(songs: list[Song]) -> None:
    hashes, words = word_hashes([line for song in songs for line in song])
    found = signatures(hashes, group_sums(words, np.array([len(song) for song in songs])))
    counts = np.zeros(COMPONENTS + 1, np.int64)
    for song in range(len(found)):
        counts += np.bincount(np.count_nonzero(found[song + 1 :] == found[song], axis=1), minlength=COMPONENTS + 1)
    at_least = np.cumsum(counts[::-1])[::-1]
    print(f"\npairs of songs: {at_least[0]:,}\n\n| agreement of at least | pairs |\n|---:|---:|")
    for share in (0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.5):
        print(f"| {share} | {at_least[int(np.ceil(share * COMPONENTS))]:,} |")


if __name__ == "__main__":
    main()
