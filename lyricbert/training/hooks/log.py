"""Writes the training curves and shows the progress bar."""

import math
import resource
from typing import Any

import torch
from tqdm import tqdm

from lyricbert.training.config import HookConfig
from lyricbert.training.hooks.write_errors import stop_or_warn_on_write_error
from lyricbert.training.loop import Hook, StepResult, Trainer
from lyricbert.training.metrics import MetricsWriter


class LogHook(Hook):
    """Writes a point of each training curve every `config.log_every` steps, and shows the progress bar."""

    def __init__(self, writer: MetricsWriter | None, config: HookConfig):
        self._writer = writer
        self._every = config.log_every
        self._keep_going = config.keep_going
        self._bar: tqdm[Any] | None = None

    def start(self, trainer: Trainer) -> None:
        self._reset()
        if self._writer is not None:
            total, unit = _bar_scale(trainer)
            self._bar = tqdm(desc="train", total=total, initial=_bar_position(trainer), unit=unit, disable=None)

    def step(self, trainer: Trainer, result: StepResult) -> None:
        self._sums += torch.tensor(
            [result.lines, result.real_tokens, result.padded_tokens, result.triplets, result.wait_seconds],
            dtype=torch.float64,
        )
        if self._bar is not None:
            self._bar.update(_bar_position(trainer) - self._bar.n)
        loss = None
        if trainer.progress.step % self._every == 0:
            loss = (trainer.world.sum(result.loss_sum) / result.terms).item()  # waits for the GPU
        # The time of evaluations and checkpoints does not count.
        self._seconds += trainer.clock() - result.started
        if loss is not None:
            self._log(trainer, result, loss)

    def _log(self, trainer: Trainer, result: StepResult, loss: float) -> None:
        world, seconds = trainer.world, self._seconds
        lines, real, padded, triplets, waited = world.sum(self._sums).tolist()
        self._reset()
        if self._writer is None or self._bar is None:
            return
        values = {
            "train/loss": loss,
            "train/perplexity": math.exp(min(loss, 50.0)),
            "train/lr": result.lr,
            "train/grad_norm": result.grad_norm.item(),
            "train/skipped_steps": trainer.sync_skip_counts().skipped,
            "throughput/tokens_per_s": real / seconds,
            "throughput/lines_per_s": lines / seconds,
            "data/real_token_fraction": real / padded,
            "data/wait_fraction": waited / (seconds * world.size),
            "memory/peak_gib": _peak_memory(world.device),
        }
        if triplets > 0:
            values["throughput/triplets_per_s"] = triplets / seconds
        with stop_or_warn_on_write_error(trainer, self._keep_going):
            self._writer.scalars(trainer.progress.step, values)
        self._bar.set_postfix({"loss": f"{loss:.3f}", "lines/s": f"{lines / seconds:.0f}"}, refresh=False)

    def _reset(self) -> None:
        self._sums = torch.zeros(5, dtype=torch.float64)
        self._seconds = 0.0

    def finish(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar_scale(trainer: Trainer) -> tuple[int, str]:
    """(length, unit) of the progress bar: in steps, or in seconds with `--max-minutes`."""
    if trainer.total_steps is None:
        return round(trainer.total_seconds), "s"
    return trainer.total_steps, "step"


def _bar_position(trainer: Trainer) -> int:
    if trainer.total_steps is None:
        return min(round(trainer.total_seconds), int(trainer.progress.seconds))
    return trainer.progress.step


def _peak_memory(device: torch.device) -> float:
    """Peak GiB of allocated GPU memory; without a GPU, of the process (Linux counts it in KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
