"""Measure the balance of load between ranks, the all-reduced bytes per step and the throughput of several processes.

    python benchmarks/ranks.py --songs SONGS --model MODEL --out RESULT.json

Trains some steps with 1, 2 and 4 processes on gloo, with and without --compress-gradients. The bytes are those of the
all-reduces that `torch.profiler` records on rank 0. The load of a rank is its planned number of padded tokens.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.contenders import Clock, ClockHook
from benchmarks.mlm_throughput import machine, prepare
from lyricbert.batches.examples import line_examples
from lyricbert.batches.sampler import LengthBucketSampler
from lyricbert.models.loading import load_masked_lm
from lyricbert.runtime.distributed import World, start_world
from lyricbert.songs.store import TRAIN, open_store
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.loop import Trainer

TOKENS_PER_BATCH, GLOBAL_MICRO_BATCHES = 1024, 4
BYTES = {"float": 4, "c10::BFloat16": 2, "long int": 8, "double": 8}
RUNS = ((1, False), (2, False), (2, True), (4, False), (4, True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="lyrics: a file or a folder")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--out", type=Path, help="output file for the measurements, as JSON")
    parser.add_argument("--steps", type=int, default=20, help="number of training steps")
    parser.add_argument("--worker", nargs=2, metavar=("STORE", "COMPRESS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(Path(arguments.worker[0]), arguments.worker[1] == "True", arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(arguments.songs, arguments.model, Path(folder))
        loads = {world_size: imbalance(store, world_size) for world_size in (2, 4)}
        readings = [run(store, processes, compress) for processes, compress in RUNS]
    for world_size, (of_epoch, of_step) in loads.items():
        print(f"{world_size} ranks: maximum / mean load {of_epoch:.4f} over an epoch, {of_step:.4f} in a step")
    print("| processes | compressed | MB all-reduced per step | tokens/s |\n|---:|---|---:|---:|")
    for reading in readings:
        print("| {processes} | {compress} | {mb_per_step:.1f} | {tokens_per_s:.0f} |".format(**reading))
    if arguments.out:
        result = {"machine": machine(), "imbalance": loads, "readings": readings}
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def imbalance(store: Path, world_size: int) -> tuple[float, float]:
    """(ratio over an epoch, mean ratio over a step) of the maximum to the mean of the ranks' padded tokens."""
    lengths = line_examples(open_store(store), TRAIN).lengths
    sampler = LengthBucketSampler(lengths, TOKENS_PER_BATCH, GLOBAL_MICRO_BATCHES, seed=0)
    tokens = np.array(
        [
            [
                sum(len(rows) * lengths[rows].max() for rows in sampler.micro_batches(step, rank, world_size))
                for rank in range(world_size)
            ]
            for step in range(sampler.steps_per_epoch)
        ]
    )
    of_epoch = tokens.sum(axis=0)
    return float(of_epoch.max() / of_epoch.mean()), float((tokens.max(axis=1) / tokens.mean(axis=1)).mean())


def run(store: Path, processes: int, compress: bool) -> dict[str, object]:
    """Run this file with `processes` processes. Returns the measurements that rank 0 prints."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*launch, __file__, "--worker", str(store), str(compress), *sys.argv[1:]]
    threads = max(1, (os.cpu_count() or 1) // processes)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def work(store_path: Path, compress: bool, arguments: argparse.Namespace) -> None:
    """Train in this process, which is one of several. Rank 0 prints the measurements as JSON."""
    store, clock = open_store(store_path), Clock()
    config = MaskedLMConfig(
        max_steps=clock.warmup + arguments.steps,
        tokens_per_batch=TOKENS_PER_BATCH,
        global_micro_batches=GLOBAL_MICRO_BATCHES,
        compress_gradients=compress,
    )
    with start_world() as world:
        task = MaskedLMTask(load_masked_lm(arguments.model)[0], config, arguments.model, store, world)
        trainer = Trainer(task, config, world)
        trainer.train([ClockHook(clock)])
        bytes_per_step = count_bytes(task, config, world)
        tokens = int(world.sum(torch.tensor(clock.real_tokens)))
        reading = {
            "processes": world.size,
            "compress": compress,
            "mb_per_step": bytes_per_step / 1e6,
            "tokens_per_s": tokens / clock.seconds,
        }
        if world.is_main:
            print(json.dumps(reading))


def count_bytes(task: MaskedLMTask, config: MaskedLMConfig, world: World) -> float:
    """Bytes per step that this rank all-reduces: the mean over five steps and the trial batch before them."""
    steps = 5
    short = Trainer(task, MaskedLMConfig(**{**vars(config), "max_steps": steps}), world)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        short.train([])
    reduced = [event for event in profiler.events() if event.name == "gloo:all_reduce"]
    elements = [(np.prod(event.input_shapes[0]), BYTES[event.input_dtypes[0]]) for event in reduced]
    return float(sum(count * size for count, size in elements)) / (steps + 1)


if __name__ == "__main__":
    main()
