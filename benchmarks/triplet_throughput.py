"""Compare the triplet training of lyricbert with the trainer of sentence-transformers: throughput and quality.

    python benchmarks/triplet_throughput.py --songs SONGS --model MODEL --out RESULT.json
    python benchmarks/triplet_throughput.py --songs SONGS --model MODEL --quality

Runs each contender several times in turn, each time in a new process. All train on the same sections with the hinge
loss, cosine distance, margin 0.5 and bf16. Prints the medians. The first steps of each run are not counted. SONGS is a
source that `lyricbert.prepare` reads.

With --quality, all train on the same number of triplets, once with each seed. Prints the held-out losses.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

NAMES = ("lyricbert", "lyricbert-4096", "sentence-transformers", "sentence-transformers-random")
WARMUP_STEPS = 10


def main() -> None:
    arguments = parse()
    if importlib.util.find_spec("sentence_transformers") is None:
        sys.exit("sentence-transformers is missing. Run: pip install -r benchmarks/requirements.txt")
    if arguments.worker:
        contender, seed, store = arguments.worker
        print(json.dumps(measure(contender, int(seed), Path(store), arguments)))
        return
    from benchmarks.mlm_throughput import machine, prepare

    with tempfile.TemporaryDirectory() as folder:
        store = prepare(arguments.songs, arguments.model, Path(folder))
        seeds = arguments.seeds if arguments.quality else [0] * arguments.repeats
        readings = [run_worker(name, seed, store) for seed in seeds for name in arguments.contenders]
    print(quality_table(readings) if arguments.quality else throughput_table(readings))
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine(), "readings": readings}, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="lyrics: a file or a folder")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--out", type=Path, help="output file for the measurements, as JSON")
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=NAMES, help="trainers to compare")
    parser.add_argument("--batch-triplets", type=int, default=16, help="triplets per step of sentence-transformers")
    parser.add_argument("--steps", type=int, default=40, help="number of steps to time")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs of each contender")
    parser.add_argument("--quality", action="store_true", help="compare held-out losses instead of throughput")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of --quality")
    parser.add_argument("--max-songs", type=int, default=1000, help="maximum number of songs of --quality")
    parser.add_argument("--epochs", type=int, default=2, help="number of epochs of --quality")
    parser.add_argument("--worker", nargs=3, metavar=("CONTENDER", "SEED", "STORE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def run_worker(contender: str, seed: int, store: Path) -> dict[str, object]:
    """Measure a contender in a new process."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", contender, str(seed), str(store)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    reading = json.loads(done.stdout.splitlines()[-1])
    loss = f", held-out loss {reading['eval/triplet_loss']:.4f}" if "eval/triplet_loss" in reading else ""
    print(f"{contender}, seed {seed}: {reading['triplets_per_s']:.1f} triplets/s{loss}", file=sys.stderr)
    return reading


def measure(contender: str, seed: int, store: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Train and measure in this process.

    Triplets per second are tokens per second divided by the mean number of tokens that a triplet of the epoch takes.
    Steps sample the epoch, so that their sections differ in length.
    """
    # Imported here, so that the first process says what is missing.
    from benchmarks.contenders import peak_gib
    from benchmarks.triplet_contenders import CONTENDERS, Record, Setting, held_out_metrics, tokens_per_triplet
    from lyricbert.songs.store import open_store
    from lyricbert.tasks.config import TripletConfig

    if arguments.quality:
        config = TripletConfig(seed=seed, epochs=arguments.epochs, max_songs=arguments.max_songs, precision="bf16")
    else:
        config = TripletConfig(seed=seed, max_steps=WARMUP_STEPS + arguments.steps, precision="bf16")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    setting = Setting(open_store(store), arguments.model, config, arguments.batch_triplets, device)
    record = Record()
    weights = CONTENDERS[contender](setting, record)
    timed = record.steps if arguments.quality else record.steps[WARMUP_STEPS:]
    seconds, triplets, real_tokens, padded_tokens = map(sum, zip(*timed, strict=True))
    return {
        "contender": contender,
        "seed": seed,
        "triplets": sum(step[1] for step in record.steps),
        "triplets_per_s": real_tokens / seconds / tokens_per_triplet(setting, contender),
        "tokens_per_s": real_tokens / seconds,
        "real_share": real_tokens / padded_tokens,
        "triplets_per_step": triplets / len(timed),
        "peak_gib": peak_gib(),
        **(held_out_metrics(weights, setting) if arguments.quality else {}),
    }


def throughput_table(readings: list[dict[str, object]]) -> str:
    """A Markdown table with the medians of each contender. Speed ratios compare with the first contender."""
    rows = [
        "| | triplets/s | slowest to fastest | 1st is faster by | tokens/s | real tokens | triplets/step | peak GiB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    first = None
    for name in dict.fromkeys(reading["contender"] for reading in readings):
        own = [reading for reading in readings if reading["contender"] == name]
        speeds = [reading["triplets_per_s"] for reading in own]
        figures = ("triplets_per_s", "tokens_per_s", "real_share", "triplets_per_step", "peak_gib")
        speed, tokens, real, per_step, peak = (statistics.median(r[figure] for r in own) for figure in figures)
        first = first or speed
        rows.append(
            f"| {name} | {speed:.1f} | {min(speeds):.1f} to {max(speeds):.1f} | {first / speed:.2f} | {tokens:.0f}"
            f" | {real:.1%} | {per_step:.0f} | {peak:.2f} |"
        )
    return "\n".join(rows)


def quality_table(readings: list[dict[str, object]]) -> str:
    """A Markdown table with the held-out triplet loss of each seed, and the means of loss and accuracy."""
    seeds = list(dict.fromkeys(reading["seed"] for reading in readings))
    rows = [
        f"| | triplets | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | accuracy |",
        f"|---|{'---:|' * (len(seeds) + 3)}",
    ]
    for name in dict.fromkeys(reading["contender"] for reading in readings):
        own = [reading for reading in readings if reading["contender"] == name]
        losses = [reading["eval/triplet_loss"] for reading in own]
        accuracy = statistics.mean(reading["eval/triplet_accuracy"] for reading in own)
        rows.append(
            f"| {name} | {own[0]['triplets']} | {' | '.join(f'{loss:.4f}' for loss in losses)}"
            f" | {statistics.mean(losses):.4f} | {accuracy:.1%} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
