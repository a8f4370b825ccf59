"""Compare models that differ only in their training seeds, to see how often `compare` finds a difference there.

    python benchmarks/null.py --data STORE --model MODEL --out runs/null

Adapts the model 60 times, with the seeds 1 to 60. Each of ten comparisons has three of the results as --base and three
others as --adapted. So there is no true difference, and each `helped` or `hurt` is false. Prints a table of the
comparisons. The runs are small: 30 steps of 2,048 tokens, then triplet training on 20 songs with three seeds. Finished
runs in --out are not repeated. `--processes` runs at a time have one thread each.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPARISONS, MODELS = 10, 3
ADAPT = (
    *("--max-steps", "30", "--lr", "5e-4", "--tokens-per-batch", "2048", "--global-micro-batches", "1"),
    *("--eval-examples", "200"),
)
COMPARE = ("--seeds", "3", "--max-songs", "20", "--eval-triplets", "300", "--eval-examples", "200")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="STORE")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.processes) as pool:
        seeds = range(1, 2 * MODELS * COMPARISONS + 1)
        list(pool.map(lambda seed: adapt(options.data, options.model, options.out, seed), seeds))
        reports = list(pool.map(lambda number: compare(options.data, options.out, number), range(COMPARISONS)))
    print_table(reports)


def adapt(data: Path, model: str, out: Path, seed: int) -> None:
    run = out / f"adapted-{seed}"
    if not (run / "model").is_dir():
        arguments = ("--data", data, "--model", model, "--out", run, "--seed", seed, *ADAPT)
        start((ROOT / "train_mlm.py", *arguments), out / f"adapted-{seed}.log")


def compare(data: Path, out: Path, number: int) -> dict[str, object]:
    """The content of report.json of a comparison."""
    first = 2 * MODELS * number + 1
    names = [out / f"adapted-{seed}" / "model" for seed in range(first, first + 2 * MODELS)]
    flags = ["--base"] * MODELS + ["--adapted"] * MODELS
    models = [argument for pair in zip(flags, names, strict=True) for argument in pair]
    report = out / f"comparison-{number}"
    arguments = ("-m", "lyricbert.compare", "--data", data, *models, "--out", report, *COMPARE)
    start(arguments, out / f"comparison-{number}.log")
    content: dict[str, object] = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return content


def start(arguments: Iterable[object], log: Path) -> None:
    """Run a Python command of the repository in one thread. Its output goes to `log`."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    with log.open("w") as output:
        command = [sys.executable, *map(str, arguments)]
        subprocess.run(command, env=variables, stdout=output, stderr=subprocess.STDOUT, check=True)


def print_table(reports: list[dict[str, object]]) -> None:
    print("| comparison | metric | base | adapted | difference | 95 % interval | verdict |")
    print("|---:|---|---:|---:|---:|---|---|")
    for number, report in enumerate(reports, start=1):
        name = report["decided_by"]
        row = report["figures"][name]
        print(
            f"| {number} | {name} | {row['base']:.4f} | {row['adapted']:.4f} | {row['difference']:+.4f}"
            f" | {row['low']:+.4f} to {row['high']:+.4f} | {row['verdict']} |"
        )
    for name in reports[0]["figures"]:
        decided = [report["figures"][name]["verdict"] in ("helped", "hurt") for report in reports]
        print(f"{name}: {sum(decided)} of {len(reports)} are `helped` or `hurt`")


if __name__ == "__main__":
    main()
