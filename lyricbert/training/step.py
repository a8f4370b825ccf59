"""The computation of a global step: forward and backward passes, all-reduce, clipping and AdamW.

The loss of a step is the mean over the terms of all its micro-batches on all ranks. So 4 ranks x 1 micro-batch, 2 x 2
and 1 x 4 train the same steps. torchtitan's `train_step` does the same for valid tokens.
"""

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]  # public, but torch does not declare it
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from lyricbert.batches.batching import MicroBatch, to_device
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import autocast, resolve_precision
from lyricbert.training.config import LoopConfig


class TrainStep:
    """A module in training, with its optimizer and gradient scaler.

    `skips`: int64 [2] on the device. It counts the steps without an update because the loss was not finite: all of
    them, and the consecutive ones up to now.
    """

    def __init__(self, module: nn.Module, config: LoopConfig, world: World):
        self.module, self.config, self.world = module, config, world
        self.precision = resolve_precision(config.precision, world.device)
        self.optimizer = _make_optimizer(module, config)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.precision == "fp16")
        self.skips = torch.zeros(2, dtype=torch.int64, device=world.device)
        self._replica: nn.Module = module

    def prepare(self, largest: Iterable[MicroBatch]) -> None:
        """Wrap the module in DDP and try the largest batches. Raises `UserError` if the GPU's memory is too small.

        The trial is also needed for bit-identical resuming. DDP reorders its gradient buckets after its first backward
        pass. Without the trial, a resumed run would sum its first gradients in another order than an uninterrupted run.
        """
        self._replica = self.module
        if self.world.size > 1:
            device_ids = [self.world.device] if self.world.device.type == "cuda" else None
            self._replica = DistributedDataParallel(self.module, device_ids=device_ids, gradient_as_bucket_view=True)
            if self.config.compress_gradients:
                self._replica.register_comm_hook(None, _compress)
        self._replica.train()
        try:
            for micro_batch in largest:
                with autocast(self.world.device, self.precision):
                    loss_sum = self._replica(*to_device(micro_batch.inputs, self.world.device))
                (loss_sum / micro_batch.terms).backward()
        except torch.OutOfMemoryError:
            raise UserError(
                f"--tokens-per-batch {self.config.tokens_per_batch}: the largest batch does not fit into"
                " the GPU's memory; lower it"
            ) from None
        self.optimizer.zero_grad(set_to_none=True)

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def accumulate(self, step: int, micro_batches: list[MicroBatch]) -> tuple[torch.Tensor, int]:
        """Add up the gradients of step `step`.

        Returns (this rank's summed loss, float32 []; the number of terms on all ranks).
        """
        world = self.world
        terms = int(world.sum(torch.tensor(sum(batch.terms for batch in micro_batches))))
        loss_sum = torch.zeros((), device=world.device)
        for number, batch in enumerate(micro_batches):
            # Dropout depends on the index of the micro-batch in the step, not on the rank.
            torch.manual_seed(derive_key("dropout", self.config.seed, step, number * world.size + world.rank))
            replica, is_last = self._replica, number == len(micro_batches) - 1
            with nullcontext() if is_last or not isinstance(replica, DistributedDataParallel) else replica.no_sync():
                with autocast(world.device, self.precision):
                    loss = replica(*to_device(batch.inputs, world.device))
                # DDP averages over the ranks, but the loss is a mean over the terms of all ranks.
                self.scaler.scale(loss * world.size / terms).backward()
            loss_sum += loss.detach()
        return loss_sum, terms

    def update(self, loss_sum: torch.Tensor) -> torch.Tensor:
        """Clip the gradients and step the optimizer. All ranks skip the update if the loss is not finite on any rank.

        `loss_sum`: float32 [], of this rank. Returns the gradient norm before clipping: float32 [].
        """
        gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
        grad_norm = nn.utils.get_total_norm(gradients) / self.scaler.get_scale()
        # Fused AdamW divides the gradients by `grad_scale` as it reads them, which saves a pass over them.
        # If `found_inf` is 1, it skips the update without waiting for the GPU. AdamW declares neither attribute.
        self.optimizer.grad_scale = (grad_norm / self.config.clip).clamp(min=1.0)  # type: ignore[attr-defined]
        bad = self._is_bad(loss_sum, grad_norm)
        self.skips[0] += bad
        self.skips[1] = (self.skips[1] + 1) * bad
        if not self.scaler.is_enabled():
            self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]  # see above
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return grad_norm

    def _is_bad(self, loss_sum: torch.Tensor, grad_norm: torch.Tensor) -> torch.Tensor:
        """bool []: True if the loss was not finite on any rank. All ranks get the same result."""
        if not self.scaler.is_enabled():
            return ~grad_norm.isfinite()
        # In fp16, gradients can overflow although the loss is finite. The scaler handles that.
        return ~self.world.sum(loss_sum).isfinite()


def _compress(group: None, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """All-reduce in bf16. DDP accepts torch's own hook only on NCCL, although gloo supports bf16 too."""
    return bf16_compress_hook(group, bucket)  # type: ignore[arg-type]  # None is the default group


def _make_optimizer(module: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """Fused AdamW with weight decay on matrices, but not on vectors (biases, LayerNorm)."""
    parameters = list(module.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)
