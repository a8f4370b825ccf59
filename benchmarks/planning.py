"""Measure the time and memory to plan an epoch and to start at any step.

    python benchmarks/planning.py --lines 100000000

Creates a store with random offsets, and with sparse files of tokens and keys. Opens it like training, and requests
steps. The memory is the peak of the process minus that of its imports. The memory-mapped pages of the store do not
count, because the system can reclaim them at any time.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.peak_memory import PeakMemory, anonymous_bytes
from lyricbert.batches.examples import line_examples
from lyricbert.batches.packing import PackedSampler
from lyricbert.batches.sampler import LengthBucketSampler, Sampler
from lyricbert.songs.store import TRAIN, open_store, write_meta

LINES_OF_SECTION, SECTIONS_OF_SONG = 4, 5
TOKENS_PER_BATCH, GLOBAL_MICRO_BATCHES = 2048, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000_000, help="approximate number of training lines")
    parser.add_argument("--out", type=Path, help="output file for the measurements, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder), arguments.lines)
        readings = [measure(Path(folder), layout) for layout in ("padded", "packed")]
    print("| layout | plan, s | peak GB | any step, ms | examples | steps per epoch |")
    print("|---|---:|---:|---:|---:|---:|")
    for reading in readings:
        print("| {layout} | {plan_s:.1f} | {peak_gb:.2f} | {step_ms:.1f} | {examples} | {steps} |".format(**reading))
    if arguments.out:
        arguments.out.write_text(json.dumps(readings, indent=2) + "\n")


def make_store(folder: Path, lines: int) -> None:
    """Create a store with about `lines` training lines of 8.5 tokens on average.

    A song has five sections of four lines. In addition, every tenth line is a duplicate, and every twentieth song is
    held out.
    """
    songs = round(lines / (0.9 * 0.95 * LINES_OF_SECTION * SECTIONS_OF_SONG))
    sections, lines = songs * SECTIONS_OF_SONG, songs * SECTIONS_OF_SONG * LINES_OF_SECTION
    source = np.random.default_rng(0)
    offsets = np.zeros(lines + 1, np.int64)
    np.cumsum(np.clip(source.gamma(5, 1.8, size=lines).astype(np.int64), 1, 58), out=offsets[1:])
    arrays = {
        "line_offsets": offsets,
        "section_offsets": np.arange(sections + 1) * LINES_OF_SECTION,
        "song_offsets": np.arange(songs + 1) * SECTIONS_OF_SONG,
        "song_split": (np.arange(songs) % 20 == 0).astype(np.uint8),
        "line_first": np.arange(lines) % 10 != 0,
        "section_first": np.ones(sections, bool),
    }
    sparse = {
        "tokens": ((int(offsets[-1]),), "uint16"),
        "song_keys": ((songs,), "int64"),
        "line_keys": ((lines,), "int64"),
        "signatures": ((songs, 128), "uint8"),
    }
    for name, (shape, dtype) in sparse.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    write_meta(folder, {"tokenizer": {"name": "made-up", "fingerprint": ""}})


def measure(folder: Path, layout: str) -> dict[str, object]:
    """Measure the planning, and the access to steps of the first, second and hundredth epoch."""
    with PeakMemory(anonymous_bytes, 0.005) as memory:
        started = time.perf_counter()
        examples = line_examples(open_store(folder), TRAIN)
        sampler = make_sampler(examples.lengths, layout)
        sampler.micro_batches(0)
        plan = time.perf_counter() - started
        waits = []
        for step in (1, sampler.steps_per_epoch // 2, sampler.steps_per_epoch + 7, 100 * sampler.steps_per_epoch - 1):
            started = time.perf_counter()
            sampler.micro_batches(step)
            waits.append(time.perf_counter() - started)
    return {
        "layout": layout,
        "plan_s": plan,
        "peak_gb": memory.grown / 1e9,
        "step_ms": 1e3 * max(waits),
        "examples": len(examples),
        "steps": sampler.steps_per_epoch,
    }


def make_sampler(lengths: np.ndarray, layout: str) -> Sampler:
    if layout == "packed":
        return PackedSampler(lengths, 128, TOKENS_PER_BATCH, GLOBAL_MICRO_BATCHES, seed=0)
    return LengthBucketSampler(lengths, TOKENS_PER_BATCH, GLOBAL_MICRO_BATCHES, seed=0)


if __name__ == "__main__":
    main()
