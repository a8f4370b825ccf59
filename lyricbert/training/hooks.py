"""What happens at a step boundary: log, stop, evaluate, checkpoint."""

import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch.profiler import profile, schedule, tensorboard_trace_handler
from tqdm import tqdm

from lyricbert.config import option
from lyricbert.errors import UserError
from lyricbert.training.checkpoint import prune, save_checkpoint
from lyricbert.training.loop import Hook, StepResult, Trainer
from lyricbert.training.metrics import MetricsWriter

PROFILED_STEPS = 5
_SHOWN_EXAMPLES = 8


@dataclass(frozen=True, kw_only=True)
class HookConfig:
    """monitoring and checkpoints"""

    log_every: int = option("steps between two points of the training curves", 10, check="positive")
    eval_every: int = option(
        "steps between two evaluations (0: only at the start and the end)", 0, check="non-negative"
    )
    checkpoint_every: int = option("steps between two checkpoints (0: by the clock)", 0, check="non-negative")
    checkpoint_minutes: float = option("minutes between two checkpoints", 15.0, check="positive")
    max_bad_steps: int = option("steps in a row to skip for a loss that is not finite", 10, check="positive")
    timeout_minutes: float = option("minutes that a process waits for the others", 10.0, check="positive")
    keep_going: bool = option("go on with a warning where a checkpoint or a curve cannot be written", False)
    keep_last: int = option("newest checkpoints to keep; the best is kept besides", 2, check="positive")
    profile: bool = option(f"write a trace of {PROFILED_STEPS} early steps to the TensorBoard directory", False)
    resume: str = option("auto (from the newest whole checkpoint of --out), none, or a checkpoint directory", "auto")


@contextmanager
def _bearing(trainer: Trainer, keep_going: bool) -> Iterator[None]:
    """What cannot be written in this block ends the run at the next step boundary, or is only warned of."""
    try:
        yield
    except UserError as error:
        if keep_going:
            tqdm.write(f"warning: {error}", file=sys.stderr)
        else:
            trainer.error = error


class LogHook(Hook):
    """Training curves and the progress bar."""

    def __init__(self, writer: MetricsWriter | None, config: HookConfig):
        self._writer = writer
        self._every = config.log_every
        self._keep_going = config.keep_going
        self._bar: tqdm | None = None

    def start(self, trainer: Trainer) -> None:
        self._reset()
        if self._writer is not None:
            total, unit = _bar_scale(trainer)
            self._bar = tqdm(desc="train", total=total, initial=_bar_position(trainer), unit=unit, disable=None)

    def step(self, trainer: Trainer, result: StepResult) -> None:
        self._sums += torch.tensor(
            [result.lines, result.real_tokens, result.padded_tokens, result.wait_seconds], dtype=torch.float64
        )
        if self._bar is not None:
            self._bar.update(_bar_position(trainer) - self._bar.n)
        loss = None
        if trainer.progress.step % self._every == 0:
            loss = (trainer.world.sum(result.loss_sum) / result.terms).item()  # waits for the GPU
        # Evaluations and checkpoints are not part of it.
        self._seconds += time.perf_counter() - result.started
        if loss is not None:
            self._log(trainer, result, loss)

    def _log(self, trainer: Trainer, result: StepResult, loss: float) -> None:
        world, seconds = trainer.world, self._seconds
        lines, real, padded, waited = world.sum(self._sums).tolist()
        self._reset()
        if self._writer is None:
            return
        values = {
            "train/loss": loss,
            "train/perplexity": math.exp(min(loss, 50.0)),
            "train/lr": result.lr,
            "train/grad_norm": result.grad_norm.item(),
            "train/skipped_steps": trainer.settle().skipped,
            "throughput/tokens_per_s": real / seconds,
            "throughput/lines_per_s": lines / seconds,
            "data/real_token_fraction": real / padded,
            "data/wait_fraction": waited / (seconds * world.size),
            "memory/peak_gib": _peak_memory(world.device),
        }
        with _bearing(trainer, self._keep_going):
            self._writer.scalars(trainer.progress.step, values)
        self._bar.set_postfix({"loss": f"{loss:.3f}", "lines/s": f"{lines / seconds:.0f}"}, refresh=False)

    def _reset(self) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64)
        self._seconds = 0.0

    def finish(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.close()


class BadStepHook(Hook):
    """Ends the run when steps were skipped `most` times in a row, naming the examples of the last.

    It looks at the step before the last one, which the GPU is done with, so as not to wait for it.
    """

    def __init__(self, most: int):
        self._most = most
        self._before: StepResult | None = None

    def step(self, trainer: Trainer, result: StepResult) -> None:
        before, self._before = self._before, result
        if before is None or before.skipped_in_row.item() < self._most:
            return
        shown = torch.zeros(trainer.world.size, _SHOWN_EXAMPLES, dtype=torch.int64)
        if not before.loss_sum.isfinite():
            examples = torch.from_numpy(before.examples[:_SHOWN_EXAMPLES]) + 1
            shown[trainer.world.rank, : len(examples)] = examples
        lines = [str(line - 1) for line in trainer.world.sum(shown).flatten().tolist() if line]
        raise UserError(
            f"the loss was not finite in {self._most} steps in a row, up to step {trainer.progress.step - 1} on lines"
            f" {', '.join(lines)} ... of the store; look at them, lower --lr or raise --max-bad-steps"
        )


class StopHook(Hook):
    """Ends the run at a step boundary that all ranks agree on, after a signal to any of them or an error on one.

    The signal handler only sets a flag. A second SIGINT ends the process at once; torchrun passes a terminal's SIGINT
    on to its processes, so one that follows within a second counts as the same.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._received_at = 0.0
        self._before: dict[signal.Signals, object] = {}

    def start(self, trainer: Trainer) -> None:
        self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT == self._received and time.monotonic() - self._received_at > 1:
            os._exit(130)
        self._received, self._received_at = signal.Signals(number), time.monotonic()

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.world.any(self._received is not None or trainer.error is not None):
            trainer.stop_signal = self._received.name if self._received else "a signal to another process"

    def finish(self, trainer: Trainer) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class EvalHook(Hook):
    """Held-out figures before training, every `every` steps (0: never in between) and at the end."""

    def __init__(self, writer: MetricsWriter | None, config: HookConfig):
        self._writer = writer
        self._every = config.eval_every
        self._keep_going = config.keep_going

    def start(self, trainer: Trainer) -> None:
        if trainer.progress.step == 0:
            self._evaluate(trainer)

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.done >= 1 or (self._every and trainer.progress.step % self._every == 0):
            self._evaluate(trainer)

    def _evaluate(self, trainer: Trainer) -> None:
        step, task = trainer.progress.step, trainer.task
        values = {name: float(value) for name, value in task.evaluate().items()}
        if step > 0 and values[task.best_metric] < trainer.progress.best_loss:
            trainer.progress.best_step, trainer.progress.best_loss = step, values[task.best_metric]
        if self._writer is None:
            return
        table = task.table()
        with _bearing(trainer, self._keep_going):
            self._writer.scalars(step, values)
            if table is not None:
                self._writer.text(step, "eval/fill_in", table)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        tqdm.write(f"step {step}  {figures}", file=sys.stderr)


class CheckpointHook(Hook):
    """A checkpoint every so many steps or minutes, at each best evaluation, at the end, and where a signal stops."""

    def __init__(self, directory: Path, config: HookConfig, identity: dict[str, object]):
        self._directory = directory
        self._config = config
        self._identity = identity
        self._saved_at = time.monotonic()

    def step(self, trainer: Trainer, result: StepResult) -> None:
        # The replicas are the same, so the first rank saves, and nobody has to wait for it.
        if trainer.world.is_main and self._is_due(trainer):
            with _bearing(trainer, self._config.keep_going):
                save_checkpoint(self._directory, trainer, self._identity)
                prune(self._directory, self._config.keep_last, trainer.progress.best_step)
            self._saved_at = time.monotonic()

    def _is_due(self, trainer: Trainer) -> bool:
        step, every = trainer.progress.step, self._config.checkpoint_every
        if trainer.done >= 1 or trainer.stop_signal is not None or trainer.progress.best_step == step:
            return True
        if every:
            return step % every == 0
        return time.monotonic() - self._saved_at > 60 * self._config.checkpoint_minutes


class ProfileHook(Hook):
    """Writes what a few steps after the first three spent their time on, as a `torch.profiler` trace."""

    def __init__(self, directory: Path):
        self._profiler = profile(
            schedule=schedule(wait=2, warmup=1, active=PROFILED_STEPS, repeat=1),
            on_trace_ready=tensorboard_trace_handler(str(directory)),
        )

    def start(self, trainer: Trainer) -> None:
        self._profiler.start()

    def step(self, trainer: Trainer, result: StepResult) -> None:
        self._profiler.step()

    def finish(self, trainer: Trainer) -> None:
        self._profiler.stop()


def _bar_scale(trainer: Trainer) -> tuple[int, str]:
    """(length, unit) of the progress bar: steps, or the seconds of a run that is measured in minutes."""
    if trainer.total_steps is None:
        return round(60 * trainer.config.max_minutes), "s"
    return trainer.total_steps, "step"


def _bar_position(trainer: Trainer) -> int:
    if trainer.total_steps is None:
        return min(round(60 * trainer.config.max_minutes), int(trainer.progress.seconds))
    return trainer.progress.step


def _peak_memory(device: torch.device) -> float:
    """GiB: of GPU memory allocated, or of the process where there is no GPU (Linux counts it in KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
