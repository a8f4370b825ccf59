"""Check that memory, open files and step time of every rank stay constant in a long run of a tiny model.

    python benchmarks/soak.py --data DATA --steps 20000

Trains with two processes and the settings of the launchers, from a randomly initialised BERT, with evaluations and
checkpoints. Each process records its memory, open files and step time every 20 steps. Prints the median memory of each
tenth of the run, and the change of open files and step time from the second tenth to the last. The exit status is 1 if
the median memory of a later tenth is above 1.02 times that of the second.

Memory is the anonymous resident memory (RssAnon). Pages of mapped files, such as the store and the libraries, do not
count: the kernel reads and drops them as it likes. The memory with them is printed too.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from transformers import BertConfig, BertForMaskedLM

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train_mlm
from benchmarks.launched import run_launched
from lyricbert.songs.store import open_store
from lyricbert.songs.tokenizer import load_tokenizer
from lyricbert.training import run as run_module
from lyricbert.training.loop import Hook, StepResult, Trainer

EVERY = 20  # steps between two records
MOST_GROWTH = 1.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="token store")
    parser.add_argument("--steps", type=int, default=20_000, help="number of training steps")
    parser.add_argument("--processes", type=int, default=2, help="number of processes")
    parser.add_argument("--precision", default="bf16", help="autocast dtype (with bf16, a CPU compiles every shape)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_model(arguments.data, f"{folder}/model")
        flags = ["--data", str(arguments.data), "--model", f"{folder}/model", "--out", f"{folder}/run"]
        flags += ["--max-steps", str(arguments.steps), "--tokens-per-batch", "128", "--eval-every", "1000"]
        flags += ["--precision", arguments.precision, "--checkpoint-every", "500"]
        status = run_launched("benchmarks/soak.py", flags, arguments.processes, 1, {"SOAK_NOTES": folder})
        if status:
            sys.exit(status)
        notes = {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob("notes-*.json"))}
    for name, of_rank in notes.items():
        print(f"{name.removeprefix('notes-')}: {summary(of_rank)}")
    growths = [growth(of_rank["anonymous_mib"]) for of_rank in notes.values()]
    print(f"most memory of a tenth from the third on over the second: {max(growths):.3f} (at most {MOST_GROWTH})")
    sys.exit(max(growths) > MOST_GROWTH)


def make_model(data: Path, folder: str) -> None:
    """Save a BERT with two layers for the tokenizer of the store."""
    tokenizer = load_tokenizer(open_store(data).tokenizer_path)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tenths(values: list[float]) -> list[float]:
    """The medians of the ten tenths of `values`."""
    ends = [n * len(values) // 10 for n in range(11)]
    return [statistics.median(values[begin:end]) for begin, end in itertools.pairwise(ends)]


def growth(values: list[float]) -> float:
    """The largest median of the tenths after the second, divided by the median of the second."""
    _, second, *rest = tenths(values)
    return max(rest) / second


def summary(notes: dict[str, list[float]]) -> str:
    """The memory of each tenth, and the change of the other figures from the second tenth to the last."""
    parts = []
    for name in ("anonymous_mib", "resident_mib"):
        memory = " ".join(f"{median:.0f}" for median in tenths(notes[name]))
        parts.append(f"{name} by tenth {memory} (x{growth(notes[name]):.3f})")
    for name in ("open_files", "step_s"):
        _, early, *_, late = tenths(notes[name])
        parts.append(f"{name} {early:.6g} -> {late:.6g} ({late / early - 1:+.1%})")
    return ", ".join(parts)


@dataclass
class NotesHook(Hook):
    """Records the memory (MiB, without and with mapped files), open files and step time (s) of this process."""

    path: Path
    notes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.progress.step % EVERY:
            return
        for name, field_name in (("anonymous_mib", "RssAnon"), ("resident_mib", "VmRSS")):
            self.notes[name].append(status_kib(field_name) / 2**10)
        self.notes["open_files"].append(len(os.listdir("/proc/self/fd")))
        self.notes["step_s"].append(time.perf_counter() - result.started)

    def finish(self, trainer: Trainer) -> None:
        self.path.write_text(json.dumps(self.notes))


def status_kib(name: str) -> int:
    """A field of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def worker(folder: Path) -> None:
    """Run train_mlm.py in this process with `NotesHook` added."""
    whole = run_module.Trainer.train
    rank = os.environ["RANK"]
    run_module.Trainer.train = lambda self, hooks: whole(self, [NotesHook(folder / f"notes-rank {rank}.json"), *hooks])
    train_mlm.main()


if __name__ == "__main__":
    worker(Path(os.environ["SOAK_NOTES"])) if "SOAK_NOTES" in os.environ else main()
