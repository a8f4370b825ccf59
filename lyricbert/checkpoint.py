"""Atomic, verified checkpoint directories.

    checkpoints/step-00001200/
        model.safetensors   parameters by name
        optimizer.pt        the optimizer's and the gradient scaler's state
        state.json          progress, and what the run was started with
        manifest.json       SHA-256 of the files above, written last

A checkpoint is made under a temporary name, synced to the disk and renamed: it is whole or it is not there.
"""

import json
import os
import pickle
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lyricbert.errors import UserError
from lyricbert.files import sha256_of, write_json
from lyricbert.loop import Progress, Trainer

_FILES = ("model.safetensors", "optimizer.pt", "state.json")


def checkpoint_path(directory: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return directory / f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, from its name."""
    return int(checkpoint.name.removeprefix("step-"))


def save_checkpoint(directory: Path, trainer: Trainer, identity: dict[str, object]) -> Path:
    """Write `directory/step-N`. `identity` is what a run must share to go on from it. Raises `UserError`."""
    final = checkpoint_path(directory, trainer.progress.step)
    temporary = directory / f".{final.name}.tmp-{os.getpid()}"
    try:
        _write(temporary, trainer, identity)
        if final.exists():  # one that did not verify; a verified one would have been resumed from
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(directory)
    except OSError as error:
        raise UserError(f"{final}: checkpoint not saved ({error.strerror}); earlier ones are whole") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _write(temporary: Path, trainer: Trainer, identity: dict[str, object]) -> None:
    temporary.mkdir(parents=True)
    parameters = {name: parameter.detach().cpu() for name, parameter in trainer.task.module.named_parameters()}
    save_file(parameters, temporary / "model.safetensors")
    state = {"optimizer": trainer.optimizer.state_dict(), "scaler": trainer.scaler.state_dict()}
    torch.save(state, temporary / "optimizer.pt")
    write_json(temporary / "state.json", {"progress": vars(trainer.settle()), "identity": identity})
    for name in _FILES:
        _sync(temporary / name)
    write_json(temporary / "manifest.json", {name: sha256_of(temporary / name) for name in _FILES})
    _sync(temporary / "manifest.json")
    _sync(temporary)


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run, newest first, whether they verify or not."""
    return sorted(directory.glob("step-*"), reverse=True)


def verify(checkpoint: Path) -> str | None:
    """None if every file is as it was written, else what is wrong."""
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        for name in _FILES:
            if sha256_of(checkpoint / name) != manifest[name]:
                return f"{name} does not match its checksum"
    except OSError as error:
        return f"{Path(error.filename).name} cannot be read"
    except (ValueError, KeyError, TypeError):
        return "its manifest is damaged"
    return None


def newest_verified(directory: Path) -> tuple[Path | None, list[str]]:
    """(the newest checkpoint that verifies or None, a warning for each newer one that does not)."""
    warnings = []
    for checkpoint in checkpoints(directory):
        problem = verify(checkpoint)
        if problem is None:
            return checkpoint, warnings
        warnings.append(f"{checkpoint}: {problem}; it is not used")
    return None, warnings


def load_checkpoint(checkpoint: Path, trainer: Trainer, identity: dict[str, object]) -> None:
    """Put the trainer where the checkpoint was. Raises `UserError` if it belongs to another run."""
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    for name, value in identity.items():
        saved = state["identity"].get(name)
        if saved != value:
            raise UserError(f"{checkpoint}: saved with {name} {saved}, this run has {value}; give another --out")
    saved = load_file(checkpoint / "model.safetensors")
    with torch.no_grad():
        for name, parameter in trainer.task.module.named_parameters():
            parameter.copy_(saved[name])
    try:
        tensors = torch.load(checkpoint / "optimizer.pt", map_location=trainer.world.device, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{checkpoint / 'optimizer.pt'}: holds more than tensors; remove this checkpoint") from None
    trainer.optimizer.load_state_dict(tensors["optimizer"])
    trainer.scaler.load_state_dict(tensors["scaler"])
    trainer.load_progress(Progress(**state["progress"]))


def prune(directory: Path, keep_last: int, best_step: int) -> None:
    """Remove all but the newest `keep_last` checkpoints and that of `best_step`."""
    for checkpoint in checkpoints(directory)[keep_last:]:
        if step_of(checkpoint) != best_step:
            # Renamed first, so that a removal cut short leaves nothing that looks like a checkpoint.
            doomed = checkpoint.with_name(f".{checkpoint.name}.removed")
            checkpoint.rename(doomed)
            shutil.rmtree(doomed)


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed run left half-made or half-removed."""
    for leftover in directory.glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
