"""Measure the share of each operation in the time of a training step on a CPU.

    python benchmarks/operations.py --songs SONGS --model MODEL

Times every PyTorch operation when it is called. The overhead of that is in the last row. Unlike `torch.profiler`, it
does not slow down operations that access much memory.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.contenders import Setting, make_loop
from benchmarks.mlm_throughput import prepare
from lyricbert.runtime.distributed import start_world
from lyricbert.songs.store import open_store
from lyricbert.training.loop import Hook, StepResult, Trainer

GROUPS = {
    "matrix products of encoder and head": ("mm", "addmm"),
    "matrix products of attention": ("bmm",),
    "copies and casts": ("_to_copy", "clone", "cat", "copy_"),
    "AdamW, the norm of the gradients": ("_fused_adamw_", "_foreach_norm", "_foreach_sub_"),
    "dropout's random numbers and masks": ("random_", "ge", "mul_"),
    "GELU": ("gelu", "gelu_backward"),
    "softmax and loss": (
        *("_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data"),
        *("nll_loss_forward", "nll_loss_backward"),
    ),
    "LayerNorm": ("native_layer_norm", "native_layer_norm_backward"),
    "sums and products of elements": ("add", "mul", "sum", "add_", "div", "masked_fill"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="lyrics: a file or a folder")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--batch-lines", type=int, default=128, help="number of lines per step")
    parser.add_argument("--steps", type=int, default=40, help="steps to time, after as many warm-up steps")
    arguments = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, start_world() as world:
        store = open_store(prepare(arguments.songs, arguments.model, Path(folder)))
        setting = Setting(
            store, arguments.model, arguments.batch_lines, 2 * arguments.steps, "bf16", torch.device("cpu")
        )
        with watch:
            make_loop(setting, world).train([StartHook(watch, arguments.steps)])
    total = time.perf_counter() - watch.started
    print(f"{total / arguments.steps * 1e3:.0f} ms per step\n\n| | share |\n|---|---:|")
    known = {name: sum(watch.seconds[op] for op in operations) for name, operations in GROUPS.items()}
    known["other operations"] = sum(watch.seconds.values()) - sum(known.values())
    known["Python, dispatch and this measurement"] = total - sum(watch.seconds.values())
    for name, seconds in known.items():
        print(f"| {name} | {seconds / total:.1%} |")


class Watch(TorchDispatchMode):
    """Sums the seconds of every operation by name, beginning with the call of `start`."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0.0
        self.seconds: dict[str, float] = defaultdict(float)

    def start(self) -> None:
        self.seconds.clear()
        self.started = time.perf_counter()

    def __torch_dispatch__(
        self, function: torch._ops.OpOverload, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        before = time.perf_counter()
        result = function(*args, **(kwargs or {}))
        self.seconds[function.overloadpacket.__name__] += time.perf_counter() - before
        return result


class StartHook(Hook):
    """Starts `watch` after `after` steps."""

    def __init__(self, watch: Watch, after: int):
        self._watch, self._after = watch, after

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.progress.step == self._after:
            self._watch.start()


if __name__ == "__main__":
    main()
