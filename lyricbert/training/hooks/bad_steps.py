"""Ends a run whose loss is not finite in consecutive steps."""

import torch

from lyricbert.errors import UserError
from lyricbert.training.loop import Hook, StepResult, Trainer

_SHOWN_EXAMPLES = 8


class BadStepHook(Hook):
    """Raises `UserError` after `most` consecutive skipped steps. The message names examples of the last one.

    It checks the step before the current one. The GPU has finished that step, so the check does not wait.
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
            f"the loss was not finite in {self._most} consecutive steps. The last was step {trainer.progress.step - 1},"
            f" with lines {', '.join(lines)} ... of the store; look at these lines, lower --lr or raise --max-bad-steps"
        )
