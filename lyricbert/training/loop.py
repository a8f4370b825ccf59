"""The training loop that both trainers share: a hand-written DistributedDataParallel loop.

The loss of a step is the sum over the terms of all its micro-batches on all ranks, divided by their number, so that
4 ranks x 1 micro-batch, 2 x 2 and 1 x 4 train the same steps (as torchtitan's `train_step` does for valid tokens).
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from lyricbert.batches.batching import MicroBatch, prefetch, to_device
from lyricbert.batches.sampler import Sampler
from lyricbert.config import option
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import PRECISIONS, autocast, best_precision
from lyricbert.training.schedule import DECAYS, learning_rate_factor


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """training"""

    epochs: int = option("length of the run in epochs", 4, check="positive")
    max_steps: int | None = option("length of the run in steps, instead of --epochs", None, check="positive")
    max_minutes: float | None = option("length of the run in minutes, instead of --epochs", None, check="positive")
    lr: float = option("peak learning rate", 5e-5, check="positive")
    warmup_fraction: float = option("share of the run in which the learning rate rises", 0.06, check="share")
    decay: str = option("how the learning rate falls to 0 after that", "linear", choices=DECAYS)
    weight_decay: float = option("AdamW's, not on biases and LayerNorm", 0.01, check="non-negative")
    clip: float = option("largest norm of the gradient", 1.0, check="positive")
    tokens_per_batch: int = option("most padded tokens in a micro-batch", 2048, check="positive")
    global_micro_batches: int = option(
        "micro-batches in a step, over all processes; a multiple of their number", 4, check="positive"
    )
    precision: str | None = option(
        "of matrix products (default: bf16 where the device has it, else fp32)", None, choices=PRECISIONS
    )
    compress_gradients: bool = option("send gradients between processes in bf16, for slow links", False)
    seed: int = option("seed of order, masks and dropout", 0, check="seed")

    def resolved_precision(self, device: torch.device) -> str:
        """The precision asked for, or the best that `device` has."""
        return self.precision or best_precision(device)


class Task(Protocol):
    """What the loop trains: it makes batches, turns them into arguments of its module, evaluates and saves itself.

    `module(*inputs)` is a summed loss, float32 [].
    """

    module: nn.Module
    sampler: Sampler
    best_metric: str

    def micro_batch(self, indices: np.ndarray, epoch: int) -> MicroBatch:
        """The batch, on the CPU, of the sampler's examples `indices`: int64 [rows, examples of a row]."""

    def evaluate(self) -> dict[str, float]:
        """Figures on the held-out examples, by name. Called on every rank at once."""

    def table(self) -> str | None:
        """A Markdown table of predictions on fixed examples, if the task has one. Called on the first rank."""

    def save(self, directory: Path) -> None:
        """Write the trained model as a Hugging Face directory."""


@dataclass(frozen=True)
class Freeze:
    """Parameters that rest during the first `steps` steps, in which the others train at the constant rate `lr`."""

    parameters: Sequence[nn.Parameter] = ()
    steps: int = 0
    lr: float = 0.0


@dataclass(frozen=True)
class StepResult:
    """What one step did on this rank.

    `loss_sum`: float32 [], over this rank's terms. `terms`: of all ranks. `examples`: int64 [E], this rank's, by id.
    `skipped_in_row`: int64 [], how many steps up to this one were skipped. `started`: `time.perf_counter()` before the
    step waited for its data, for `wait_seconds`.
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
    started: float
    wait_seconds: float


class Hook:
    """Something that happens at step boundaries. Every rank calls every hook, in the same order."""

    def start(self, trainer: "Trainer") -> None:
        """Before the first step of this process."""

    def step(self, trainer: "Trainer", result: StepResult) -> None:
        """After each step; `trainer.progress.step` steps are done."""

    def finish(self, trainer: "Trainer") -> None:
        """After the last step of this process."""


@dataclass
class Progress:
    """How far a run is; a checkpoint holds it.

    `seconds`: training time over all its processes. `frozen_seconds`: the part of it in which parameters were frozen.
    `best_step`, `best_loss`: of the best evaluation so far. `skipped`, `skipped_in_row`: steps without an update, since
    the loss was not finite, in all and up to now.
    """

    step: int = 0
    seconds: float = 0.0
    frozen_seconds: float = 0.0
    best_step: int = -1
    best_loss: float = float("inf")
    skipped: int = 0
    skipped_in_row: int = 0


class Trainer:
    """A task in training: model, optimizer and progress."""

    def __init__(self, task: Task, config: LoopConfig, world: World, freeze: Freeze | None = None):
        if config.max_steps is not None and config.max_minutes is not None:
            raise UserError("--max-steps and --max-minutes: give one of them")
        if config.global_micro_batches % world.size:
            raise UserError(
                f"--global-micro-batches {config.global_micro_batches}: must be a multiple of the number of processes,"
                f" {world.size}"
            )
        self.task, self.config, self.world = task, config, world
        self.freeze = freeze or Freeze()
        if self.total_steps is not None and self.freeze.steps > self.total_steps:
            raise UserError(
                f"--head-warmup-steps {self.freeze.steps}: must not be more than the {self.total_steps} steps"
            )
        self.precision = config.resolved_precision(world.device)
        self.load_progress(Progress())
        self.stop_signal: str | None = None
        self.error: UserError | None = None
        self.optimizer = _make_optimizer(task.module, config)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.precision == "fp16")
        self._model: nn.Module = task.module
        self._started = 0.0

    @property
    def total_steps(self) -> int | None:
        """Length of the run in steps; None if it is measured in minutes."""
        if self.config.max_minutes is not None:
            return None
        return self.config.max_steps or self.config.epochs * self.task.sampler.steps_per_epoch

    @property
    def done(self) -> float:
        """Share of the run that is over."""
        if self.total_steps is None:
            return min(1.0, self.progress.seconds / (60 * self.config.max_minutes))
        return self.progress.step / self.total_steps

    def train(self, hooks: Sequence[Hook]) -> None:
        """Run to the end, or to the step boundary at which a hook sets `stop_signal`.

        Raises the `UserError` that a hook has put into `error`, on all ranks.
        """
        self._started = time.perf_counter() - self.progress.seconds
        for hook in hooks:
            hook.start(self)
        if self.done < 1:
            self._prepare_model()
        with closing(prefetch(self._micro_batches())) as batches:
            while self.done < 1 and self.stop_signal is None:
                started = time.perf_counter()
                micro_batches = next(batches)
                result = self._train_step(micro_batches, started, time.perf_counter() - started)
                for hook in hooks:
                    hook.step(self, result)
        for hook in hooks:
            hook.finish(self)
        with self.world.together():
            if self.error is not None:
                raise self.error

    def _micro_batches(self) -> Iterator[list[MicroBatch]]:
        """This rank's micro-batches of every step from the next one on."""
        for step in count(self.progress.step):
            epoch = self.task.sampler.epoch_of(step)
            indices = self.task.sampler.micro_batches(step, self.world.rank, self.world.size)
            yield [self._pinned(self.task.micro_batch(rows, epoch)) for rows in indices]

    def _pinned(self, micro_batch: MicroBatch) -> MicroBatch:
        """The same in memory that a GPU copies from while it works."""
        if self.world.device.type == "cpu":
            return micro_batch
        inputs = tuple(tensor if tensor is None else tensor.pin_memory() for tensor in micro_batch.inputs)
        return replace(micro_batch, inputs=inputs)

    def _prepare_model(self) -> None:
        """Freeze or thaw, wrap in DDP, and try the largest batch, so that running out of memory happens at once.

        The trial also makes DDP settle its gradient buckets, which it orders anew after its first backward pass; a
        resumed run would otherwise add up its first gradients in another order than the run that was left alone.
        """
        for parameter in self.freeze.parameters:
            parameter.requires_grad_(self.progress.step >= self.freeze.steps)
        self._model = self.task.module
        if self.world.size > 1:
            device_ids = [self.world.device] if self.world.device.type == "cuda" else None
            self._model = DistributedDataParallel(self._model, device_ids=device_ids, gradient_as_bucket_view=True)
            if self.config.compress_gradients:
                self._model.register_comm_hook(None, _compress)
        self._model.train()
        largest = self.task.micro_batch(self.task.sampler.largest(), epoch=0)
        try:
            with autocast(self.world.device, self.precision):
                loss_sum = self._model(*to_device(largest.inputs, self.world.device))
            (loss_sum / largest.terms).backward()
        except torch.OutOfMemoryError:
            raise UserError(
                f"--tokens-per-batch {self.config.tokens_per_batch}: the largest batch does not fit into"
                " the GPU's memory; lower it"
            ) from None
        self.optimizer.zero_grad(set_to_none=True)

    def _train_step(self, micro_batches: list[MicroBatch], started: float, wait_seconds: float) -> StepResult:
        if self.progress.step == self.freeze.steps > 0:
            self.progress.frozen_seconds = self.progress.seconds
            self._prepare_model()
        lr = self._set_learning_rate()
        loss_sum, terms = self._accumulate(micro_batches)
        grad_norm = self._update(loss_sum)
        self._advance()
        return StepResult(
            loss_sum=loss_sum,
            terms=terms,
            examples=np.concatenate([batch.examples for batch in micro_batches]),
            skipped_in_row=self._skips[1].clone(),
            lr=lr,
            grad_norm=grad_norm,
            lines=sum(batch.lines for batch in micro_batches),
            real_tokens=sum(batch.real_tokens for batch in micro_batches),
            padded_tokens=sum(batch.padded_tokens for batch in micro_batches),
            started=started,
            wait_seconds=wait_seconds,
        )

    def _accumulate(self, micro_batches: list[MicroBatch]) -> tuple[torch.Tensor, int]:
        """Add up the step's gradients. Returns (this rank's summed loss, the number of terms on all ranks)."""
        step, world = self.progress.step, self.world
        terms = int(world.sum(torch.tensor(sum(batch.terms for batch in micro_batches))))
        loss_sum = torch.zeros((), device=world.device)
        for number, batch in enumerate(micro_batches):
            # Dropout depends on the micro-batch's place in the step, not on the rank that it runs on.
            torch.manual_seed(derive_key("dropout", self.config.seed, step, number * world.size + world.rank))
            is_last = number == len(micro_batches) - 1
            with nullcontext() if is_last or world.size == 1 else self._model.no_sync():
                with autocast(world.device, self.precision):
                    loss = self._model(*to_device(batch.inputs, world.device))
                # DDP averages over the ranks; the loss is a mean over the terms of all of them.
                self.scaler.scale(loss * world.size / terms).backward()
            loss_sum += loss.detach()
        return loss_sum, terms

    def _update(self, loss_sum: torch.Tensor) -> torch.Tensor:
        """Clip the gradients and step the optimizer, or skip the step where they are not finite, on all ranks at once.

        Returns the norm before clipping: float32 [].
        """
        gradients = [p.grad for p in self.task.module.parameters() if p.grad is not None]
        grad_norm = nn.utils.get_total_norm(gradients) / self.scaler.get_scale()
        # Fused AdamW divides the gradients by this as it reads them, which saves a pass over all of them.
        self.optimizer.grad_scale = (grad_norm / self.config.clip).clamp(min=1.0)
        bad = self._is_bad(loss_sum, grad_norm)
        self._skips[0] += bad
        self._skips[1] = (self._skips[1] + 1) * bad
        if not self.scaler.is_enabled():
            self.optimizer.found_inf = bad.float()  # fused AdamW then does nothing, without waiting for the GPU
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return grad_norm

    def _is_bad(self, loss_sum: torch.Tensor, grad_norm: torch.Tensor) -> torch.Tensor:
        """bool []: whether the loss was not finite on any rank. The same everywhere, as the gradients are."""
        if not self.scaler.is_enabled():
            return ~grad_norm.isfinite()
        # In fp16 gradients overflow now and then, which the scaler sees to.
        return ~self.world.sum(loss_sum.clone()).isfinite()

    def load_progress(self, progress: Progress) -> None:
        """Go on from `progress`."""
        self.progress = progress
        self._skips = torch.tensor([progress.skipped, progress.skipped_in_row], device=self.world.device)

    def settle(self) -> Progress:
        """The progress, up to date with what the device counts."""
        self.progress.skipped, self.progress.skipped_in_row = self._skips.tolist()
        return self.progress

    def _advance(self) -> None:
        self.progress.step += 1
        seconds = time.perf_counter() - self._started
        # Where the clock decides when to end, all ranks go by the first one's.
        self.progress.seconds = seconds if self.config.max_minutes is None else self.world.from_main(seconds)

    def _set_learning_rate(self) -> float:
        if self.progress.step < self.freeze.steps:
            lr = self.freeze.lr
        else:
            lr = self.config.lr * learning_rate_factor(
                self._unfrozen_share(), self.config.warmup_fraction, self.config.decay
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def _unfrozen_share(self) -> float:
        """How much of the time that no parameter is frozen is over, at the middle of the step to come."""
        if self.total_steps is None:
            limit = 60 * self.config.max_minutes - self.progress.frozen_seconds
            return (self.progress.seconds - self.progress.frozen_seconds) / max(limit, 1e-9)
        return (self.progress.step - self.freeze.steps + 0.5) / (self.total_steps - self.freeze.steps)


def _compress(group: None, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """All-reduce in bf16. DDP takes torch's hook of that name on NCCL only, though gloo adds bf16 too."""
    return bf16_compress_hook(group, bucket)


def _make_optimizer(module: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """Fused AdamW. Vectors (biases, LayerNorm) do not decay, matrices do."""
    parameters = list(module.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)
