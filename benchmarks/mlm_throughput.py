"""Compare the MLM training of lyricbert with alternatives: throughput, padding, memory and efficiency.

    python benchmarks/mlm_throughput.py --songs SONGS --model MODEL --out RESULT.json

Runs each contender several times in turn, each time in a new process. All train on the same lines in steps of the same
size. Prints the medians. The first steps of each run are not counted. SONGS is a source that `lyricbert.prepare` reads.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.contenders import CONTENDERS, Clock, Setting, peak_gib
from benchmarks.flops import flops_per_token, matmul_rate
from lyricbert.batches.examples import line_examples
from lyricbert.batches.masking import EVAL_MASK_RATE
from lyricbert.songs.store import TRAIN, open_store

SPECIAL_TOKENS = 2  # [CLS] and [SEP] of a line are never masked
PRECISIONS = {name: "fp32" if name == "lightning" else "bf16" for name in CONTENDERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="lyrics: a file or a folder")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--out", type=Path, help="output file for the measurements, as JSON")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=["lyricbert", "trainer", "lightning"],
        help="programs to compare",
    )
    parser.add_argument("--batch-lines", type=int, default=128, help="number of lines per step")
    parser.add_argument("--steps", type=int, default=50, help="steps to time; the Trainer groups lines for 50 steps")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs of each contender")
    parser.add_argument("--worker", nargs=2, metavar=("CONTENDER", "STORE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        contender, store = arguments.worker
        print(json.dumps(measure(contender, Path(store), arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(arguments.songs, arguments.model, Path(folder))
        readings = [
            run_worker(contender, store, arguments)
            for _ in range(arguments.repeats)
            for contender in arguments.contenders
        ]
    print(table(readings))
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine(), "readings": readings}, indent=2) + "\n")


def prepare(songs: Path, model: str, folder: Path) -> Path:
    """Prepare a token store of `songs` in `folder`. Returns its path."""
    command = [sys.executable, "-m", "lyricbert.prepare", songs.resolve(), "--out", folder / "store"]
    subprocess.run([*command, "--tokenizer", model], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder / "store"


def run_worker(contender: str, store: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Measure a contender in a new process."""
    worker = [sys.executable, __file__, "--worker", contender, store, "--songs", arguments.songs]
    size = ["--batch-lines", arguments.batch_lines, "--steps", arguments.steps]
    command = [*worker, "--model", arguments.model, *size]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    reading = json.loads(done.stdout.splitlines()[-1])
    print(f"{contender}: {reading['lines_per_s']:.0f} lines/s", file=sys.stderr)
    return reading


def measure(contender: str, store_path: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Train and measure in this process.

    Lines per second are tokens per second divided by the mean length. Steps sample the epoch, so that their lines
    differ in length.
    """
    store, config = open_store(store_path), AutoConfig.from_pretrained(arguments.model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = matmul_rate(device, torch.bfloat16)
    clock = Clock()
    precision = PRECISIONS[contender]
    steps = clock.warmup + arguments.steps
    setting = Setting(store, arguments.model, arguments.batch_lines, steps, precision, device)
    CONTENDERS[contender](setting, clock)
    lengths = line_examples(store, TRAIN).lengths.astype(float)
    target_share = EVAL_MASK_RATE * (1 - SPECIAL_TOKENS / lengths.mean())
    # Mean over the tokens of the length of their line.
    flops = flops_per_token(config, float((lengths**2).mean() / lengths.mean()), target_share)
    tokens_per_s = clock.real_tokens / clock.seconds
    return {
        "contender": contender,
        "lines_per_s": tokens_per_s / lengths.mean(),
        "tokens_per_s": tokens_per_s,
        "real_share": clock.real_tokens / clock.padded_tokens,
        "lines_per_step": clock.lines / arguments.steps,
        "wait_share": clock.waited / clock.seconds,
        "peak_gib": peak_gib(),
        "flops_per_token": flops,
        "matmul_bf16_flops_per_s": rate,
        "matmul_share": tokens_per_s * flops / rate,
    }


def table(readings: list[dict[str, object]]) -> str:
    """A Markdown table with the medians of each contender. Speed ratios compare with the first contender."""
    names = list(dict.fromkeys(reading["contender"] for reading in readings))
    figures = ("lines_per_s", "tokens_per_s", "real_share", "lines_per_step", "peak_gib", "matmul_share")
    medians = {
        name: [statistics.median(r[figure] for r in readings if r["contender"] == name) for figure in figures]
        for name in names
    }
    rows = [
        "| | lines/s | 1st is faster by | real tokens/s | real tokens | lines/step | peak GiB | bf16 matmul rate |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (lines, tokens, real, per_step, peak, share) in medians.items():
        rows.append(
            f"| {name} {PRECISIONS[name]} | {lines:.0f} | {medians[names[0]][0] / lines:.2f} | {tokens:.0f}"
            f" | {real:.1%} | {per_step:.0f} | {peak:.2f} | {share:.1%} |"
        )
    return "\n".join(rows)


def machine() -> dict[str, object]:
    """The device and versions of the measurements."""
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
