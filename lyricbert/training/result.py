"""Writes RUN/model, which exists if and only if the run is finished."""

import sys
from pathlib import Path

from lyricbert.errors import UserError
from lyricbert.files import new_directory, unused_name
from lyricbert.training.checkpoint import checkpoint_path, load_parameters, verify
from lyricbert.training.config import RunConfig
from lyricbert.training.loop import Trainer


def set_model_aside(model: Path, is_finished: bool) -> None:
    """Rename `model`, RUN/model, unless it is the complete model of a finished run. Prints the new name."""
    is_complete = (model / "config.json").is_file() and any(model.glob("*.safetensors"))
    if not model.exists() or (is_finished and is_complete):
        return
    aside = unused_name(model.with_name(f"{model.name}.before"))
    model.rename(aside)
    what = "the model of an earlier or shorter run" if is_complete else "not a complete model"
    print(f"{model} is {what}; renamed to {aside}", file=sys.stderr)


def save_model(trainer: Trainer, config: RunConfig) -> str:
    """Write RUN/model: the last or the best model, see `config.save_model`. Returns which one, for a message."""
    which = "the model"
    if config.save_model == "best":
        which = _load_best(trainer, config)
    with new_directory(config.out / "model") as directory:
        trainer.task.save(directory)
    return which


def _load_best(trainer: Trainer, config: RunConfig) -> str:
    """Load the weights of the best evaluation into the task's module. Returns which model it now is, for a message.

    Raises `UserError` if they are not available. With --keep-going, prints a warning and keeps the last weights.
    """
    progress, metric = trainer.progress, trainer.task.best_metric
    problem = None
    if progress.best_step != progress.step:  # otherwise the module already has these weights
        problem = _load_step(trainer, config.out / "checkpoints", progress.best_step)
    if problem is None:
        return f"the model of step {progress.best_step}, which has the best {metric} ({progress.best_loss:.4f}),"
    if not config.keep_going:
        raise UserError(f"--save-model best: {problem}; add --keep-going to save the model of the last step")
    print(f"warning: --save-model best: {problem}; the model of the last step is saved", file=sys.stderr)
    return "the model of the last step"


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
