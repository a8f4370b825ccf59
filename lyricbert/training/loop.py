"""The training loop that both trainers share. Hooks run at each step boundary."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch

from lyricbert.batches.batching import MicroBatch, prefetch
from lyricbert.errors import UserError
from lyricbert.runtime.distributed import World
from lyricbert.training.config import LoopConfig
from lyricbert.training.schedule import learning_rate_factor, learning_rate_factor_by_step
from lyricbert.training.step import TrainStep
from lyricbert.training.task import HeadWarmup, Task


@dataclass(frozen=True)
class StepResult:
    """The figures of one step.

    `loss_sum`: float32 [], sum over this rank's terms. `terms`: number of loss terms on all ranks. `examples`: int64
    [E], ids of this rank's examples. `skipped_in_row`: int64 [], number of consecutive skipped steps, this one
    included. `lines`, `real_tokens`, `padded_tokens`, `triplets`: of this rank. `started`: seconds on the trainer's
    clock when the step began. `wait_seconds`: time that the step then waited for its data.
    """

    loss_sum: torch.Tensor
    terms: int
    examples: np.ndarray
    skipped_in_row: torch.Tensor
    lr: float
    grad_norm: torch.Tensor
    lines: int
    real_tokens: int
    padded_tokens: int
    triplets: int
    started: float
    wait_seconds: float


class Hook:
    """Code that runs at step boundaries. Every rank calls its hooks in the same order."""

    def start(self, trainer: "Trainer") -> None:
        """Before the first step of this process."""

    def step(self, trainer: "Trainer", result: StepResult) -> None:
        """After each step; `trainer.progress.step` steps are done."""

    def finish(self, trainer: "Trainer") -> None:
        """After the last step of this process."""


@dataclass
class Progress:
    """How far a run is. Checkpoints contain it.

    `seconds`: training time so far, including that before a resume. `frozen_seconds`: the part of `seconds` in which
    parameters were frozen. `best_step`, `best_loss`: the evaluation with the lowest held-out loss so far. `skipped`:
    number of steps without an update because the loss was not finite. `skipped_in_row`: consecutive ones up to now.
    """

    step: int = 0
    seconds: float = 0.0
    frozen_seconds: float = 0.0
    best_step: int = -1
    best_loss: float = float("inf")
    skipped: int = 0
    skipped_in_row: int = 0


class Trainer:
    """Trains a task, step by step.

    `clock` returns seconds since a fixed moment. The loop and its hooks read no other clock.
    """

    def __init__(
        self,
        task: Task,
        config: LoopConfig,
        world: World,
        head_warmup: HeadWarmup | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        if config.max_steps is not None and config.max_minutes is not None:
            raise UserError("--max-steps and --max-minutes: give one of them")
        self.task, self.config, self.world = task, config, world
        self.head_warmup = head_warmup or HeadWarmup()
        self.clock = clock
        if self.total_steps is not None and self.head_warmup.steps > self.total_steps:
            raise UserError(
                f"--head-warmup-steps {self.head_warmup.steps}: must not be more than the {self.total_steps} steps"
            )
        self._check_warmup()
        self.train_step = TrainStep(task.module, config, world)
        self.progress = Progress()
        self.stop_signal: str | None = None
        self.error: UserError | None = None
        self._started = 0.0

    def _check_warmup(self) -> None:
        warmup_steps = self.config.warmup_steps
        if warmup_steps is None:
            return
        if self.total_steps is None:
            raise UserError("--warmup-steps and --max-minutes: give one of them, or --warmup-fraction")
        steps = self.total_steps - self.head_warmup.steps
        if warmup_steps > steps:
            after = f" after --head-warmup-steps {self.head_warmup.steps}" if self.head_warmup.steps else ""
            raise UserError(f"--warmup-steps {warmup_steps}: must not be more than the {steps} steps of the run{after}")

    @property
    def total_steps(self) -> int | None:
        """Length of the run in steps; None if it is measured in minutes."""
        if self.config.max_minutes is not None:
            return None
        return self.config.max_steps or self.task.sampler.steps(self.config.epochs)

    @property
    def total_seconds(self) -> float:
        """Length of the run in seconds; infinite if it is measured in steps."""
        return math.inf if self.config.max_minutes is None else 60 * self.config.max_minutes

    @property
    def fraction_done(self) -> float:
        """Share of the run that is done, from 0 to 1."""
        if self.total_steps is None:
            return min(1.0, self.progress.seconds / self.total_seconds)
        return self.progress.step / self.total_steps

    def train(self, hooks: Sequence[Hook]) -> None:
        """Train to the end of the run, or until a hook sets `stop_signal`.

        If a hook has set `error` on any rank, all ranks raise a `UserError` at the end.
        """
        self._started = self.clock() - self.progress.seconds
        for hook in hooks:
            hook.start(self)
        if self.fraction_done < 1:
            self._prepare()
        with closing(prefetch(self._micro_batches())) as batches:
            while self.fraction_done < 1 and self.stop_signal is None:
                started = self.clock()
                micro_batches = next(batches)
                result = self._step(micro_batches, started, self.clock() - started)
                for hook in hooks:
                    hook.step(self, result)
        for hook in hooks:
            hook.finish(self)
        with self.world.raise_on_all_ranks():
            if self.error is not None:
                raise self.error

    def load_progress(self, progress: Progress) -> None:
        """Resume from `progress`."""
        self.progress = progress
        self.train_step.skips.copy_(torch.tensor([progress.skipped, progress.skipped_in_row]))

    def sync_skip_counts(self) -> Progress:
        """Copy the skip counts from the device into `progress`, and return `progress`."""
        self.progress.skipped, self.progress.skipped_in_row = self.train_step.skips.tolist()
        return self.progress

    def _micro_batches(self) -> Iterator[list[MicroBatch]]:
        """Yield this rank's micro-batches of each step, starting with the next one."""
        for step in count(self.progress.step):
            epoch = self.task.sampler.epoch_of(step)
            indices = self.task.sampler.micro_batches(step, self.world.rank, self.world.size)
            yield [self._pinned(self.task.micro_batch(rows, epoch)) for rows in indices]

    def _pinned(self, micro_batch: MicroBatch) -> MicroBatch:
        """Copy the inputs to pinned memory, from which a GPU can copy while it computes."""
        if self.world.device.type == "cpu":
            return micro_batch
        inputs = tuple(tensor if tensor is None else tensor.pin_memory() for tensor in micro_batch.inputs)
        return replace(micro_batch, inputs=inputs)

    def _prepare(self) -> None:
        """Freeze or unfreeze the encoder, and try the largest batches."""
        for parameter in self.head_warmup.parameters:
            parameter.requires_grad_(self.progress.step >= self.head_warmup.steps)
        largest = (self.task.micro_batch(indices, epoch=0) for indices in self.task.sampler.largest())
        self.train_step.prepare(largest)

    def _step(self, micro_batches: list[MicroBatch], started: float, wait_seconds: float) -> StepResult:
        if self.progress.step == self.head_warmup.steps > 0:
            self.progress.frozen_seconds = self.progress.seconds
            self._prepare()
        lr = self._learning_rate()
        self.train_step.set_learning_rate(lr)
        loss_sum, terms = self.train_step.accumulate(self.progress.step, micro_batches)
        grad_norm = self.train_step.update(loss_sum)
        self._advance()
        return StepResult(
            loss_sum=loss_sum,
            terms=terms,
            examples=np.concatenate([batch.examples for batch in micro_batches]),
            skipped_in_row=self.train_step.skips[1].clone(),
            lr=lr,
            grad_norm=grad_norm,
            lines=sum(batch.lines for batch in micro_batches),
            real_tokens=sum(batch.real_tokens for batch in micro_batches),
            padded_tokens=sum(batch.padded_tokens for batch in micro_batches),
            triplets=sum(batch.triplets for batch in micro_batches),
            started=started,
            wait_seconds=wait_seconds,
        )

    def _advance(self) -> None:
        self.progress.step += 1
        seconds = self.clock() - self._started
        # If the clock decides when the run ends, all ranks use the clock of rank 0.
        self.progress.seconds = seconds if self.config.max_minutes is None else self.world.broadcast_from_main(seconds)

    def _learning_rate(self) -> float:
        if self.progress.step < self.head_warmup.steps:
            return self.head_warmup.lr
        return self.config.lr * self._learning_rate_factor()

    def _learning_rate_factor(self) -> float:
        config, steps = self.config, self.total_steps
        if config.warmup_steps is None or steps is None:
            return learning_rate_factor(self._schedule_progress(), config.warmup_fraction, config.decay)
        frozen_steps = self.head_warmup.steps
        step = self.progress.step - frozen_steps + 0.5
        return learning_rate_factor_by_step(step, steps - frozen_steps, config.warmup_steps, config.decay)

    def _schedule_progress(self) -> float:
        """Share of the run after the head warm-up that is done, at the middle of the next step."""
        if self.total_steps is None:
            limit = self.total_seconds - self.progress.frozen_seconds
            return (self.progress.seconds - self.progress.frozen_seconds) / max(limit, 1e-9)
        return (self.progress.step - self.head_warmup.steps + 0.5) / (self.total_steps - self.head_warmup.steps)
