"""Measure the peak memory of `prepare`, and how it grows with the number of lines.

    python benchmarks/prepare_memory.py --tokenizer MODEL

Prepares made-up songs of 10 million lines, then of 20 million. They go through a pipe, so no large file is written but
the store, which is removed at the end. Memory is the sum of the proportional set sizes (PSS) of all processes of the
command, sampled five times a second: memory that processes share counts once. Prints the peak while shards are made
and during the join, and the slope: the growth of the peak of a stage, in bytes a line; of both stages, the higher.
Exits with 1 above the limits.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np

ROOT = Path(__file__).parent.parent
LINES_OF_SONG = 32
SONGS_AT_ONCE = 1000
MOST_MIB = 1024  # at the first size
MOST_SLOPE = 24.0  # bytes a line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="directory of a model")
    parser.add_argument("--lines", type=int, nargs=2, default=[10_000_000, 20_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to write the store (default: a temporary folder)")
    arguments = parser.parse_args()
    peaks = []
    for lines in arguments.lines:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            shards, join = peak_of_prepare(lines, arguments.tokenizer, arguments.workers, Path(folder) / "store")
        peaks.append((shards, join))
        seconds = time.perf_counter() - begin
        print(f"{lines:,} lines: peak {shards:,.0f} MiB, join {join:,.0f} MiB; {seconds:,.0f} s", flush=True)
    growth = [(large - small) * 2**20 for small, large in zip(*peaks, strict=True)]
    slope, peak = max(growth) / (arguments.lines[1] - arguments.lines[0]), max(peaks[0])
    print(f"peak {peak:,.0f} MiB (at most {MOST_MIB}), slope {slope:.1f} bytes a line (at most {MOST_SLOPE})")
    sys.exit(peak > MOST_MIB or slope > MOST_SLOPE)


def peak_of_prepare(lines: int, tokenizer: str, workers: int, out: Path) -> tuple[float, float]:
    """Peak MiB of a `prepare` of so many lines: while shards are made, and during the join."""
    command = ["-m", "lyricbert.prepare", "-", "--format", "jsonl", "--out", str(out), "--tokenizer", tokenizer]
    process = subprocess.Popen(
        [sys.executable, *command, "--workers", str(workers)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    threading.Thread(target=write_songs, args=(process.stdin, lines), daemon=True).start()
    shards = join = 0.0
    while process.poll() is None:
        mib = sum(map(pss_mib, family(process.pid)))
        if any(out.parent.glob(f".{out.name}.shards/.store.tmp-*")):
            join = max(join, mib)
        else:
            shards = max(shards, mib)
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"prepare ended with status {process.returncode}")
    return shards, join


def write_songs(pipe: IO[bytes], lines: int) -> None:
    """Write made-up songs as JSON lines. Words are drawn with the frequencies of Zipf's law, lines rarely repeat."""
    source = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(source.choice(letters, length)) for length in source.integers(2, 9, 20_000)], object)
    frequency = 1 / np.arange(1, len(words) + 1)
    cumulated = np.cumsum(frequency / frequency.sum())
    with pipe:
        for start in range(0, lines // LINES_OF_SONG, SONGS_AT_ONCE):
            songs = min(SONGS_AT_ONCE, lines // LINES_OF_SONG - start)
            lengths = source.integers(4, 11, songs * LINES_OF_SONG)
            chosen = words[
                np.minimum(np.searchsorted(cumulated, source.random(lengths.sum())), len(words) - 1)
            ].tolist()
            ends = np.cumsum(lengths).tolist()
            text = [" ".join(chosen[end - length : end]) for end, length in zip(ends, lengths.tolist(), strict=True)]
            for song in range(songs):
                first = song * LINES_OF_SONG
                lyrics = "\n\n".join("\n".join(text[at : at + 8]) for at in range(first, first + LINES_OF_SONG, 8))
                pipe.write(json.dumps({"lyrics": lyrics, "title": f"song {start + song}"}).encode() + b"\n")


def family(process: int) -> list[int]:
    """The ids of a process and of all that it has started."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return []
    return [process, *(member for child in children for member in family(int(child)))]


def pss_mib(process: int) -> float:
    """The proportional set size of a process in MiB; 0 if it has ended."""
    try:
        rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(row.split()[1]) / 1024 for row in rows if row.startswith("Pss:")), 0.0)


if __name__ == "__main__":
    main()
