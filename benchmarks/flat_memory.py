"""Check that the peak memory of MLM training on a CPU in bf16 stays near that of the first steps.

    python benchmarks/flat_memory.py --data DATA --model MODEL

Trains one process with the loop of `train_mlm.py` and the settings of the launchers. Prints the most resident memory
that the process has had after several numbers of steps. Exits with 1 if the peak at the end is more than 1.1 times the
peak at step 20. The longer the lines of DATA, the more widths there are, and the harder the test: take prose.
"""

import argparse
import os
import resource
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.launched import run_launched
from lyricbert.models.loading import load_masked_lm
from lyricbert.runtime.distributed import start_world
from lyricbert.songs.store import open_store
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.loop import Hook, StepResult, Trainer

FIRST = 20  # steps
MOST_GROWTH = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="token store")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--global-micro-batches", type=int, default=4)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    arguments = parser.parse_args()
    if "LOCAL_RANK" not in os.environ:
        sys.exit(run_launched("benchmarks/flat_memory.py", sys.argv[1:], 1, arguments.threads))
    config = MaskedLMConfig(
        max_steps=arguments.steps,
        tokens_per_batch=arguments.tokens_per_batch,
        global_micro_batches=arguments.global_micro_batches,
        precision=arguments.precision,
    )
    peaks: dict[int, float] = {}
    with start_world() as world:
        model, _ = load_masked_lm(arguments.model)
        task = MaskedLMTask(model, config, arguments.model, open_store(arguments.data), world)
        Trainer(task, config, world).train([PeakHook(peaks)])
    growth = peaks[arguments.steps] / peaks[FIRST]
    print(f"peak at step {arguments.steps} over step {FIRST}: {growth:.3f} (at most {MOST_GROWTH})")
    sys.exit(growth > MOST_GROWTH)


class PeakHook(Hook):
    """Appends the peak of resident memory (MiB) to `peaks` after every 20th step, and prints it."""

    def __init__(self, peaks: dict[int, float]):
        self._peaks = peaks

    def step(self, trainer: Trainer, result: StepResult) -> None:
        step = trainer.progress.step
        if step % FIRST == 0 or step == trainer.total_steps:
            self._peaks[step] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(f"step {step}: {self._peaks[step]:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
