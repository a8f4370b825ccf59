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

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.fraction_done >= 1 or (self._every and trainer.progress.step % self._every == 0):
            self._evaluate(trainer)

    def _evaluate(self, trainer: Trainer) -> None:
        step, task = trainer.progress.step, trainer.task
        values = {name: float(value) for name, value in task.evaluate().items()}
        if step > 0 and values[task.best_metric] < trainer.progress.best_loss:
            trainer.progress.best_step, trainer.progress.best_loss = step, values[task.best_metric]
        if self._writer is None:
            return
        table = task.prediction_table()
        with stop_or_warn_on_write_error(trainer, self._keep_going):
            self._writer.scalars(step, values)
            if table is not None:
                self._writer.text(step, "eval/fill_in", table)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        tqdm.write(f"step {step}  {figures}", file=sys.stderr)
