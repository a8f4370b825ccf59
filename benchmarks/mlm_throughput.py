"""MLM training, ours beside what its users would pick instead: lines and tokens a second, padding, memory, efficiency.

    python benchmarks/mlm_throughput.py --songs SONGS --model MODEL --out RESULT.json

Runs each contender in a process of its own, in turns, several times, on the same lines in steps of the same size, and
prints the medians. A few steps of warming up are not counted. SONGS is whatever `lyricbert.prepare` reads.
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
    parser.add_argument("--songs", type=Path, required=True, help="lyrics files or a folder of them")
    parser.add_argument("--model", required=True, help="a BERT: a directory or hub name")
    parser.add_argument("--out", type=Path, help="where to write the readings as JSON")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=["lyricbert", "trainer", "lightning"])
    parser.add_argument("--batch-lines", type=int, default=128, help="lines in a step")
    parser.add_argument("--steps", type=int, default=50, help="steps to time; Trainer groups lines for 50 steps")
    parser.add_argument("--repeats", type=int, default=3, help="times each contender runs")
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
    """The token store of `songs`, made in `folder`."""
    command = [sys.executable, "-m", "lyricbert.prepare", songs.resolve(), "--out", folder / "store"]
    subprocess.run([*command, "--tokenizer", model], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder / "store"


def run_worker(contender: str, store: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """A contender's reading, taken in a process of its own."""
    worker = [sys.executable, __file__, "--worker", contender, store, "--songs", arguments.songs]
    size = ["--batch-lines", arguments.batch_lines, "--steps", arguments.steps]
    command = [*worker, "--model", arguments.model, *size]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    reading = json.loads(done.stdout.splitlines()[-1])
    print(f"{contender}: {reading['lines_per_s']:.0f} lines/s", file=sys.stderr)
    return reading


def measure(contender: str, store_path: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Train and time in this process.

    Lines a second are those of mean length: steps are drawn from the epoch, and what they hold differs.
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
    # A token is in a line as often as the line is long.
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
    """The medians of each contender as a Markdown table; ratios are to the first one's lines/s."""
    names = list(dict.fromkeys(reading["contender"] for reading in readings))
    figures = ("lines_per_s", "tokens_per_s", "real_share", "lines_per_step", "peak_gib", "matmul_share")
    medians = {
        name: [statistics.median(r[figure] for r in readings if r["contender"] == name) for figure in figures]
        for name in names
    }
    rows = [
        "| | lines/s | ours is faster by | real tokens/s | real tokens | lines/step | peak GiB | bf16 matmul rate |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (lines, tokens, real, per_step, peak, share) in medians.items():
        rows.append(
            f"| {name} {PRECISIONS[name]} | {lines:.0f} | {medians[names[0]][0] / lines:.2f} | {tokens:.0f}"
            f" | {real:.1%} | {per_step:.0f} | {peak:.2f} | {share:.1%} |"
        )
    return "\n".join(rows)


def machine() -> dict[str, object]:
    """What the readings were taken on."""
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
