"""Measure how long lyricbert trains until its held-out loss equals that of the Hugging Face Trainer after one epoch.

    python benchmarks/time_to_loss.py --songs SONGS --model MODEL --out RESULT.json

Trains one epoch with the Trainer, then one epoch with lyricbert, on the same lines with the same learning rates. Both
use the same held-out masks. The time of evaluations does not count.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.contenders import Clock, ClockHook, Setting, hugging_face_trainer, make_loop
from benchmarks.mlm_throughput import machine, prepare
from lyricbert.batches.examples import line_examples
from lyricbert.evaluation.evaluate import MaskedLMEvaluator, sample_examples
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.runtime.distributed import World, start_world
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore, open_store
from lyricbert.songs.tokenizer import load_tokenizer, vocabulary
from lyricbert.training.loop import Hook, StepResult, Trainer

HELD_OUT = 3000
CONTENDERS = ("trainer", "lyricbert")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="lyrics: a file or a folder")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--out", type=Path, help="output file for the curves, as JSON")
    parser.add_argument("--batch-lines", type=int, default=128, help="number of lines per step")
    parser.add_argument("--lr", type=float, default=2e-4, help="peak learning rate of both")
    parser.add_argument("--epochs", type=float, default=1.0, help="length of both runs in epochs")
    parser.add_argument("--looks", type=int, default=40, help="number of evaluations of lyricbert during training")
    parser.add_argument("--worker", nargs=2, metavar=("CONTENDER", "STORE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        contender, store = arguments.worker
        print(json.dumps(train(contender, open_store(Path(store)), arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(arguments.songs, arguments.model, Path(folder))
        curves = {contender: run_worker(contender, store) for contender in CONTENDERS}
    seconds, goal = curves["trainer"][-1]
    reached = next((point for point in curves["lyricbert"] if point[1] <= goal), None)
    print(f"Trainer: held-out loss {goal:.4f} after {seconds:.0f} s")
    if reached is None:
        print(f"lyricbert did not reach it: {curves['lyricbert'][-1][1]:.4f} after {curves['lyricbert'][-1][0]:.0f} s")
    else:
        print(f"lyricbert: {reached[1]:.4f} after {reached[0]:.0f} s, {reached[0] / seconds:.0%} of the Trainer's time")
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine(), "seconds_and_loss": curves}, indent=2) + "\n")


def run_worker(contender: str, store: Path) -> list[tuple[float, float]]:
    """Train a contender in a new process. Returns its curve, see `train`."""
    command = [sys.executable, __file__, "--worker", contender, str(store), *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def train(contender: str, store: TokenStore, arguments: argparse.Namespace) -> list[tuple[float, float]]:
    """Train a contender. Returns its curve: (seconds of training, held-out loss) of each evaluation."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = round(arguments.epochs * len(line_examples(store, TRAIN)) / arguments.batch_lines)
    setting = Setting(store, arguments.model, arguments.batch_lines, steps, "bf16", device, lr=arguments.lr)
    clock = Clock(warmup=1)
    with start_world() as world:
        held_out = HeldOut(store, world)
        if contender == "trainer":
            model = hugging_face_trainer(setting, clock)
            return [(clock.seconds, held_out.loss(MaskedLM(model.to(device))))]
        look = LookHook(held_out, clock, every=max(1, steps // arguments.looks))
        make_loop(setting, world).train([ClockHook(clock), look])
        return look.curve


class HeldOut:
    """Evaluates every model on the same held-out lines with the same masks."""

    def __init__(self, store: TokenStore, world: World):
        examples = sample_examples(line_examples(store, VALIDATION), HELD_OUT)
        words = vocabulary(load_tokenizer(store.tokenizer_path))
        self._evaluator = MaskedLMEvaluator(examples, words, world, "bf16")

    def loss(self, model: MaskedLM) -> float:
        """The mean loss over the masked tokens."""
        loss, masked, _ = self._evaluator.losses(model).sum(axis=0)
        return float(loss / masked)


class LookHook(Hook):
    """Evaluates the held-out loss every `every` steps, and excludes that time from the clock."""

    def __init__(self, held_out: HeldOut, clock: Clock, every: int):
        self._held_out, self._clock, self._every = held_out, clock, every
        self.curve: list[tuple[float, float]] = []

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.progress.step % self._every == 0 or trainer.fraction_done >= 1:
            self.curve.append((self._clock.seconds, self._held_out.loss(trainer.task.module)))
            print(f"step {trainer.progress.step}: {self.curve[-1]}", file=sys.stderr)
            self._clock.pause()


if __name__ == "__main__":
    main()
