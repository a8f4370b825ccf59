"""The end of a run whose loss is not finite, step after step."""

import torch

from lyricbert.errors import UserError
from lyricbert.training.loop import Hook, StepResult, Trainer

_SHOWN_EXAMPLES = 8


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
            f"the loss was not finite in {self._most} consecutive steps. The last was step {trainer.progress.step - 1},"
            f" with lines {', '.join(lines)} ... of the store; look at these lines, lower --lr or raise --max-bad-steps"
        )
