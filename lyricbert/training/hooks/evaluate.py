"""Evaluation during a run."""

import sys

from tqdm import tqdm

from lyricbert.training.config import HookConfig
from lyricbert.training.hooks.write_errors import stop_or_warn_on_write_error
from lyricbert.training.loop import Hook, StepResult, Trainer
from lyricbert.training.metrics import MetricsWriter


class EvalHook(Hook):
    """Evaluates before the first step, every `config.eval_every` steps (if it is not 0) and at the end."""

    def __init__(self, writer: MetricsWriter | None, config: HookConfig):
        self._writer = writer
        self._every = config.eval_every
        self._keep_going = config.keep_going

    def start(self, trainer: Trainer) -> None:
        if trainer.progress.step == 0:
            self._evaluate(trainer)
        elif trainer.fraction_done >= 1:
            self._complete(trainer)

    def _complete(self, trainer: Trainer) -> None:
        """Evaluate if a longer run saved the checkpoint that this run ends at, because that run did not evaluate there.

        An interruption may follow. Then the next start takes the loss from the curves.
        """
        metric = trainer.task.best_metric
        recorded = self._writer.recorded(trainer.progress.step, metric) if self._writer is not None else None
        if trainer.world.any(self._writer is not None and recorded is None):
            self._evaluate(trainer)
        elif recorded is not None:
            self._update_best(trainer, recorded)

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.fraction_done >= 1 or (self._every and trainer.progress.step % self._every == 0):
            self._evaluate(trainer)

    def _update_best(self, trainer: Trainer, loss: float) -> None:
        progress = trainer.progress
        if progress.step > 0 and loss < progress.best_loss:
            progress.best_step, progress.best_loss = progress.step, loss

    def _evaluate(self, trainer: Trainer) -> None:
        step, task = trainer.progress.step, trainer.task
        values = {name: float(value) for name, value in task.evaluate().items()}
        self._update_best(trainer, values[task.best_metric])
        if self._writer is None:
            return
        table = task.prediction_table()
        with stop_or_warn_on_write_error(trainer, self._keep_going):
            self._writer.scalars(step, values)
            if table is not None:
                self._writer.text(step, "eval/fill_in", table)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        tqdm.write(f"step {step}  {figures}", file=sys.stderr)
