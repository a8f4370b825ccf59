"""Decides when a checkpoint is written."""

from pathlib import Path

from lyricbert.training.checkpoint import prune, save_checkpoint
from lyricbert.training.config import HookConfig
from lyricbert.training.hooks.write_errors import stop_or_warn_on_write_error
from lyricbert.training.loop import Hook, StepResult, Trainer


class CheckpointHook(Hook):
    """Writes a checkpoint at fixed intervals, at each new best evaluation, at a stop signal and at the end.

    The interval is `config.checkpoint_every` steps or `config.checkpoint_minutes` minutes.
    """

    def __init__(self, directory: Path, config: HookConfig, identity: dict[str, object]):
        self._directory = directory
        self._config = config
        self._identity = identity
        self._saved_at = 0.0

    def start(self, trainer: Trainer) -> None:
        self._saved_at = trainer.clock()

    def step(self, trainer: Trainer, result: StepResult) -> None:
        # All replicas are the same, so only rank 0 saves. The other ranks do not wait for it.
        if trainer.world.is_main and self._is_due(trainer):
            with stop_or_warn_on_write_error(trainer, self._config.keep_going):
                save_checkpoint(self._directory, trainer, self._identity)
                prune(self._directory, self._config.keep_last, trainer.progress.best_step)
            self._saved_at = trainer.clock()

    def _is_due(self, trainer: Trainer) -> bool:
        step, every = trainer.progress.step, self._config.checkpoint_every
        if trainer.fraction_done >= 1 or trainer.stop_signal is not None or trainer.progress.best_step == step:
            return True
        if every:
            return step % every == 0
        return trainer.clock() - self._saved_at > 60 * self._config.checkpoint_minutes
