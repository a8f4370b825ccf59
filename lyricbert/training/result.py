"""Writes RUN/model, with its history. RUN/model exists if and only if the run is finished."""

import sys
from pathlib import Path

from lyricbert.errors import UserError
from lyricbert.files import new_directory, unused_name
from lyricbert.models.history import History, read_history
from lyricbert.songs.store import TokenStore
from lyricbert.training.checkpoint import checkpoint_path, load_parameters, verify
from lyricbert.training.config import RunConfig
from lyricbert.training.loop import Trainer


def read_base_history(model: str, store: TokenStore) -> History:
    """Read the history of the model to start from. Prints a warning if it was trained on held-out songs of `store`.

    `model`: directory or hub name. Raises `UserError` if the history is damaged.
    """
    base = read_history(model)
    problem = base.describe_seen(store)
    if problem is not None:
        print(f"warning: held-out figures will look too good, because --model {model} {problem}", file=sys.stderr)
    return base


def set_model_aside(model: Path, is_finished: bool) -> None:
    """Rename `model`, RUN/model, unless it is the complete model of a finished run. Prints the new name."""
    is_complete = (model / "config.json").is_file() and any(model.glob("*.safetensors"))
    if not model.exists() or (is_finished and is_complete):
        return
    aside = unused_name(model.with_name(f"{model.name}.before"))
    model.rename(aside)
    what = "the model of an earlier or shorter run" if is_complete else "not a complete model"
    print(f"{model} is {what}; renamed to {aside}", file=sys.stderr)


def save_model(trainer: Trainer, config: RunConfig, store: TokenStore, base: History) -> str:
    """Write RUN/model: the last or the best model, see `config.save_model`. Returns which one, for a message.

    `base`: history of the model that the run started from.
    """
    which, step = "the model", trainer.progress.step
    if config.save_model == "best":
        which, step = _load_best(trainer, config)
    with new_directory(config.out / "model") as directory:
        trainer.task.save(directory)
        base.with_run(trainer.task.name, step, store).save(directory)
    return which


def _load_best(trainer: Trainer, config: RunConfig) -> tuple[str, int]:
    """Load the weights of the best evaluation into the task's module.

    Returns which model it now is, for a message, and its step.

    Raises `UserError` if they are not available. With --keep-going, prints a warning and keeps the last weights.
    """
    progress, metric = trainer.progress, trainer.task.best_metric
    problem = None
    if progress.best_step != progress.step:  # otherwise the module already has these weights
        problem = _load_step(trainer, config.out / "checkpoints", progress.best_step)
    if problem is None:
        which = f"the model of step {progress.best_step}, which has the best {metric} ({progress.best_loss:.4f}),"
        return which, progress.best_step
    if not config.keep_going:
        raise UserError(f"--save-model best: {problem}; add --keep-going to save the model of the last step")
    print(f"warning: --save-model best: {problem}; the model of the last step is saved", file=sys.stderr)
    return "the model of the last step", progress.step


def _load_step(trainer: Trainer, directory: Path, step: int) -> str | None:
    """Load the weights of the checkpoint of `step`. Returns None, or a description of the problem."""
    if step < 0:
        return f"no evaluation gave a finite {trainer.task.best_metric}"
    checkpoint = checkpoint_path(directory, step)
    if not checkpoint.is_dir():
        return f"{checkpoint} is missing"
    problem = verify(checkpoint)
    if problem is not None:
        return f"{checkpoint}: {problem}"
    load_parameters(checkpoint / "model.safetensors", trainer.task.module)
    return None
