"""Atomic, verified checkpoint directories.

    checkpoints/step-00001200/
        model.safetensors   parameters by name
        optimizer.pt        state of the optimizer and the gradient scaler
        state.json          progress, and the settings of the run
        manifest.json       SHA-256 of the files above, written last

A checkpoint is written under a temporary name, synced to disk and then renamed. So an interrupted write leaves no
incomplete checkpoint. Other names in the directory are ignored, such as a user's copies and `replaced-by-step-N`.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lyricbert.errors import UserError
from lyricbert.files import as_json, sha256_of, sync, write_errors_as_user_error, write_json
from lyricbert.training.loop import Progress, Trainer

_FILES = ("model.safetensors", "optimizer.pt", "state.json")
_LENGTH = ("epochs", "max_steps", "max_minutes")
_NAME = "step-([0-9]{8}|[1-9][0-9]{8,})"  # the names that `checkpoint_path` gives
_LEFTOVER = rf"\.{_NAME}\.(tmp-[0-9]+|removed)"


def checkpoint_path(directory: Path, step: int) -> Path:
    """The path of the checkpoint of `step`."""
    return directory / f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name."""
    return int(checkpoint.name.removeprefix("step-"))


def save_checkpoint(directory: Path, trainer: Trainer, identity: dict[str, object]) -> Path:
    """Write `directory/step-N` and return its path.

    `identity`: the settings that a run must share to resume from it. Raises `UserError` on a write error.
    """
    final = checkpoint_path(directory, trainer.progress.step)
    temporary = directory / f".{final.name}.tmp-{os.getpid()}"
    try:
        advice = "earlier checkpoints are still valid; free some space and run the same command to resume"
        with write_errors_as_user_error(final, advice):
            _write(temporary, trainer, identity)
            temporary.rename(final)
            sync(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _write(temporary: Path, trainer: Trainer, identity: dict[str, object]) -> None:
    temporary.mkdir(parents=True)
    parameters = {name: parameter.detach().cpu() for name, parameter in trainer.task.module.named_parameters()}
    save_file(parameters, temporary / "model.safetensors")
    state = {"optimizer": trainer.train_step.optimizer.state_dict(), "scaler": trainer.train_step.scaler.state_dict()}
    with (temporary / "optimizer.pt").open("wb") as file:  # on a full disk, torch's own file gives a vague error
        torch.save(state, file)
    write_json(temporary / "state.json", {"progress": vars(trainer.sync_skip_counts()), "identity": identity})
    for name in _FILES:
        sync(temporary / name)
    write_json(temporary / "manifest.json", {name: sha256_of(temporary / name) for name in _FILES})
    sync(temporary / "manifest.json")
    sync(temporary)


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run, newest first. They may be damaged."""
    found = [path for path in directory.glob("step-*") if re.fullmatch(_NAME, path.name) and path.is_dir()]
    return sorted((path for path in found if not path.is_symlink()), key=step_of, reverse=True)


def verify(checkpoint: Path, names: Sequence[str] = _FILES) -> str | None:
    """Check the checksums of the files `names`. Returns None if all match, else a description of the problem."""
    try:
        text = (checkpoint / "manifest.json").read_text(encoding="utf-8")
        manifest = json.loads(text)
        if text != as_json(manifest):  # for example, the final newline is missing
            return "its manifest is damaged"
        for name in names:
            if sha256_of(checkpoint / name) != manifest[name]:
                return f"{name} does not match its checksum"
    except OSError as error:
        return f"{Path(error.filename).name} cannot be read"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "its manifest is damaged"
    return None


def newest_verified(directory: Path) -> tuple[Path | None, list[str]]:
    """(the newest valid checkpoint or None, a warning for each newer checkpoint that is damaged)."""
    warnings: list[str] = []
    for checkpoint in checkpoints(directory):
        problem = verify(checkpoint) or _wrong_name(checkpoint)
        if problem is None:
            return checkpoint, warnings
        warnings.append(f"{checkpoint}: {problem}; this checkpoint is skipped")
    return None, warnings


def _wrong_name(checkpoint: Path) -> str | None:
    """A description of the problem if a valid checkpoint, for example a copy, has the name of another step."""
    progress, _ = _read_state(checkpoint)
    return None if progress.step == step_of(checkpoint) else f"it is a copy of the checkpoint of step {progress.step}"


def saved_identity(checkpoint: Path) -> dict[str, object] | None:
    """The identity of the run that saved `checkpoint`, or None if `state.json` is damaged. Raises `UserError`."""
    if verify(checkpoint, ("state.json",)) is not None:
        return None
    return _read_state(checkpoint)[1]


def is_of_best(checkpoint: Path, progress: Progress) -> bool:
    """True if `checkpoint` is valid and was saved right after the best evaluation in `progress`.

    After --resume PATH the directory may have a checkpoint of the same step from another run. Raises `UserError`.
    """
    if verify(checkpoint, ("model.safetensors", "state.json")) is not None:
        return False
    saved, _ = _read_state(checkpoint)
    return (saved.step, saved.best_step, saved.best_loss) == (
        progress.best_step,
        progress.best_step,
        progress.best_loss,
    )


def _read_state(checkpoint: Path) -> tuple[Progress, dict[str, object]]:
    """(progress, identity) in `state.json`. Raises `UserError` if it cannot be read."""
    with _unreadable_as_user_error(checkpoint / "state.json"):
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        return Progress(**state["progress"]), dict(state["identity"])


def load_checkpoint(checkpoint: Path, trainer: Trainer, identity: dict[str, object]) -> None:
    """Load the checkpoint into `trainer`. Raises `UserError` if it belongs to another run or cannot be read."""
    progress, saved = _read_state(checkpoint)
    _require_same_run(checkpoint, saved, identity)
    load_parameters(checkpoint / "model.safetensors", trainer.task.module)
    with _unreadable_as_user_error(checkpoint / "optimizer.pt"):
        tensors = torch.load(checkpoint / "optimizer.pt", map_location=trainer.world.device, weights_only=True)
        trainer.train_step.optimizer.load_state_dict(tensors["optimizer"])
        trainer.train_step.scaler.load_state_dict(tensors["scaler"])
    trainer.load_progress(progress)


def _require_same_run(checkpoint: Path, saved: dict[str, object], identity: dict[str, object]) -> None:
    if saved.get("sampler") != identity["sampler"]:
        raise UserError(
            f"{checkpoint}: saved by a version of lyricbert that makes different batches (sampler version"
            f" {saved.get('sampler', 1)}, this one has {identity['sampler']}); give another --out, or resume with that"
            " version"
        )
    # `save_model` comes first, because it decides which other settings are compared. The length comes last, because
    # other settings decide whether it is compared.
    for name in sorted({**identity, **saved}, key=lambda name: (name != "save_model", name in _LENGTH)):
        if (name in saved) == (name in identity) and saved[name] == identity[name]:
            continue
        before = f"with {name} {saved[name]}" if name in saved else f"without {name}"
        advice = _how_to_train_on(checkpoint) if name in _LENGTH else "give another --out"
        raise UserError(f"{checkpoint}: saved {before}, this run has {identity.get(name, 'none')}; {advice}")


def _how_to_train_on(checkpoint: Path) -> str:
    model = checkpoint.parent.parent / "model"
    if not model.is_dir():
        return "finish that run with its original length first, or give another --out"
    return (
        f"to train its model further, use --model {model} --out RUN2. Only a run that started with --decay constant"
        " and --warmup-steps can be made longer"
    )


@contextmanager
def _unreadable_as_user_error(path: Path) -> Iterator[None]:
    """Re-raise any error in this block as a `UserError`.

    A file can match its checksum and still be unreadable, for example if another version of lyricbert wrote it.
    """
    try:
        yield
    except Exception as error:  # the parsers fail in many ways
        raise UserError(f"{path}: cannot be read ({type(error).__name__}); remove this checkpoint") from None


def load_parameters(path: Path, module: nn.Module) -> None:
    """Copy the parameters in `path`, a checkpoint's `model.safetensors`, into `module`.

    Raises `UserError` if their names or shapes differ.
    """
    parameters = dict(module.named_parameters())
    with _unreadable_as_user_error(path):
        saved = load_file(path)
    if {name: tensor.shape for name, tensor in saved.items()} != {name: p.shape for name, p in parameters.items()}:
        raise UserError(
            f"{path}: its parameters do not match --model, which has changed since the checkpoint was saved;"
            " give the original model or another --out"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def prune(directory: Path, keep_last: int, best_step: int) -> None:
    """Remove all checkpoints except the newest `keep_last` and the one of `best_step`. Raises `UserError`."""
    for checkpoint in checkpoints(directory)[keep_last:]:
        if step_of(checkpoint) != best_step:
            # Renamed first, so that an interrupted removal leaves nothing that looks like a checkpoint.
            doomed = checkpoint.with_name(f".{checkpoint.name}.removed")
            with write_errors_as_user_error(checkpoint, "it could not be removed; check the directory's permissions"):
                checkpoint.rename(doomed)
                shutil.rmtree(doomed)


def leftovers(directory: Path) -> list[Path]:
    """Incomplete checkpoints: a killed run was writing or removing them."""
    return [path for path in directory.glob(".step-*") if re.fullmatch(_LEFTOVER, path.name)]
