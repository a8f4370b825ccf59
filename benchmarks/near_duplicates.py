"""Measure time, memory and recall of joining shards, with a search for near-duplicate songs among made-up songs.

    python benchmarks/near_duplicates.py --songs 1000000

A song has 32 lines of 4 to 9 words, with a chorus that repeats. The frequencies of words follow Zipf's law. Of every
ten songs, three are variants of others: one word replaced in each line, other line breaks, or half of the lines.
Recall is the share of variants that are in the cluster of their original. The memory is the peak of the proportional
set size (PSS) of the process during the join, imports included.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.peak_memory import PeakMemory, pss_bytes
from lyricbert.hashing import hash64
from lyricbert.songs.groups import group_starts, group_sums, sequence_keys, take_groups
from lyricbert.songs.joining import clustering
from lyricbert.songs.joining.join import JoinSettings, join_shards
from lyricbert.songs.joining.song_blocks import open_shard, song_blocks
from lyricbert.songs.sharding.shard import write_shard
from lyricbert.songs.signatures import signatures

LINES, LINES_OF_SECTION, VOCABULARY = 32, 4, 50_000
SONGS_OF_SHARD = 2_000  # 7 originals of 10 songs, and 3 variants
VARIANTS = ("one word a line replaced", "other line breaks", "half of the lines")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100_000, help="number of songs, a multiple of 2,000")
    parser.add_argument("--out", type=Path, help="output file for the measurements, as JSON")
    parser.add_argument("--work", type=Path, help="directory for temporary files, 1.5 GB for a million songs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        shards = [Path(folder) / f"shard-{number:06}" for number in range(arguments.songs // SONGS_OF_SHARD)]
        with get_context("spawn").Pool(1) as pool:  # so that its memory does not count
            pool.starmap(make_shard, enumerate(shards))
        reading = {**measure_clusters(shards), **measure_join(shards, Path(folder) / "store")}
    print("| | |\n|---|---:|")
    for name, value in reading.items():
        print(f"| {name} | {value:,.4g} |" if isinstance(value, float) else f"| {name} | {value:,} |")
    if arguments.out:
        arguments.out.write_text(json.dumps(reading, indent=2) + "\n")


def measure_clusters(shards: list[Path]) -> dict[str, float]:
    """Find the clusters of all songs. Compare them with what is known of the songs."""
    blocks = song_blocks([open_shard(path) for path in shards])
    with PeakMemory(pss_bytes, 0.02) as memory:
        started = time.perf_counter()
        songs = clustering.read_songs(blocks)
        original = clustering.longest_of_equal_songs(songs)
        clusters = clustering.find_clusters(songs, blocks, original, near=True)
        seconds = time.perf_counter() - started
    count = len(clusters)
    # Variant number i of a shard, of any kind, is made of its original number i.
    place, originals = np.arange(count) % SONGS_OF_SHARD, SONGS_OF_SHARD // 10 * 7
    family = np.arange(count) - np.where(place < originals, 0, originals)
    found = clusters == clusters[family]
    kind = (place - originals) // (SONGS_OF_SHARD // 10)
    recall = {f"recall, {name}": float(found[kind == number].mean()) for number, name in enumerate(VARIANTS)}
    wrong = len(np.unique(clusters * count + family)) - len(np.unique(clusters))
    return {
        "songs": count,
        "seconds for the clusters": seconds,
        "bytes a song": memory.grown / count,
        **recall,
        "unrelated songs united": wrong,
    }


def measure_join(shards: list[Path], directory: Path) -> dict[str, float]:
    """Join all shards into a store."""
    directory.mkdir()
    with PeakMemory(pss_bytes, 0.02) as memory:
        started = time.perf_counter()
        joined = join_shards(shards, directory, JoinSettings(0.05, 0), Counter())
        seconds = time.perf_counter() - started
    counts = joined["counts"]
    lines = counts["train"]["lines"] + counts["validation"]["lines"]
    return {"lines": lines, "seconds for the whole join": seconds, "peak of the join, MiB of PSS": memory.peak / 2**20}


def make_shard(number: int, path: Path) -> None:
    """Write a shard of made-up songs: first originals, and then variants of some of them, one kind after the other."""
    source = np.random.default_rng(number)
    originals = SONGS_OF_SHARD // 10 * 7
    per_kind = SONGS_OF_SHARD // 10
    lengths = source.integers(4, 10, originals * LINES)
    words = draw_words(source, int(lengths.sum()))
    # The third section of four lines is the chorus. The last one repeats it.
    line = np.arange(originals * LINES)
    line = np.where(line % LINES >= LINES - LINES_OF_SECTION, line - LINES + 3 * LINES_OF_SECTION, line)
    words, lengths = take_groups(words, lengths, line), lengths[line]

    def part(kind: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.arange(kind * per_kind * LINES, (kind + 1) * per_kind * LINES)
        return take_groups(words, lengths, chosen), lengths[chosen]

    replaced, replaced_lengths = part(0)
    place = group_starts(replaced_lengths) + source.integers(0, replaced_lengths)
    replaced[place] = draw_words(source, len(place))
    rebroken, broken_lengths = part(1)
    song_words = group_sums(broken_lengths, np.full(per_kind, LINES))
    broken_lengths = np.concatenate([break_lines(source, int(count)) for count in song_words])
    half, half_lengths = part(2)
    first_half = np.arange(len(half_lengths))[np.arange(len(half_lengths)) % LINES < LINES // 2]
    half, half_lengths = take_groups(half, half_lengths, first_half), half_lengths[first_half]

    all_words = np.concatenate([words, replaced, rebroken, half])
    all_lengths = np.concatenate([lengths, replaced_lengths, broken_lengths, half_lengths])
    song_lines = np.repeat([LINES, LINES, LINES, LINES // 2], [originals, per_kind, per_kind, per_kind])
    write(path, all_words, all_lengths, song_lines)


def draw_words(source: np.random.Generator, count: int) -> np.ndarray:
    """int64 [count]: numbers of words, by Zipf's law."""
    shares = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    return np.searchsorted(shares, source.random(count) * shares[-1])


def break_lines(source: np.random.Generator, words: int) -> np.ndarray:
    """int64 [LINES]: lengths of lines that have so many words together."""
    ends = np.sort(source.choice(np.arange(1, words), LINES - 1, replace=False))
    return np.diff(ends, prepend=0, append=words)


def write(path: Path, words: np.ndarray, lengths: np.ndarray, song_lines: np.ndarray) -> None:
    """Write a shard. `words`: int64, one after the other. `lengths`: words of each line."""
    hashes = hash64(1, words)
    keys = sequence_keys(hashes, lengths)
    arrays = {
        "tokens": words.astype(np.uint16),
        "line_lengths": lengths,
        "line_keys": keys,
        "token_keys": sequence_keys(words, lengths),
        "section_lines": np.full(int(song_lines.sum()) // LINES_OF_SECTION, LINES_OF_SECTION),
        "song_sections": song_lines // LINES_OF_SECTION,
        "song_keys": sequence_keys(keys, song_lines),
        "signatures": signatures(hashes, group_sums(lengths, song_lines)),
    }
    names = {int(count): [""] * int(count) for count in np.unique(arrays["song_sections"])}
    rows = (
        {"id": f"{path.name}-{song}", "sections": names[count]} for song, count in enumerate(arrays["song_sections"])
    )
    write_shard(path, arrays, rows, [], Counter())


if __name__ == "__main__":
    main()
