"""Selects the checkpoint that a run resumes from, and the settings that must not change."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TypeVar

from lyricbert.batches.sampler import Sampler, resolve_micro_batches
from lyricbert.config import to_json
from lyricbert.errors import UserError
from lyricbert.files import unused_name
from lyricbert.runtime.distributed import World
from lyricbert.songs.store import TokenStore
from lyricbert.training.checkpoint import (
    checkpoint_path,
    checkpoints,
    is_of_best,
    load_checkpoint,
    newest_verified,
    saved_identity,
    step_of,
    verify,
)
from lyricbert.training.config import HookConfig, RunConfig
from lyricbert.training.loop import Progress, Trainer

ConfigT = TypeVar("ConfigT", bound=RunConfig)

# Settings that do not change the weights.
_WITHOUT_EFFECT = {
    "data",
    "out",
    "eval_examples",
    "eval_triplets",
    *(field.name for field in dataclasses.fields(HookConfig)),
}
# Settings that decide which evaluation is the best, and therefore which model --save-model best saves.
_DECIDE_THE_BEST = {"save_model", "eval_every", "eval_examples", "eval_triplets"}


def resolve_config(config: ConfigT, world: World) -> ConfigT:
    """Set `global_micro_batches` if the command does not.

    A resumed run keeps its value for any number of processes, so that it trains the same steps. Raises `UserError` if
    the number of processes does not divide the value.
    """
    config = _resume_from_own_checkpoint_after_restart(config)
    # Only rank 0 decides, and all ranks wait for it. If each rank raised on its own, one could end while another still
    # connects to it. Then gloo's error would hide the message.
    with world.raise_on_all_ranks():
        micro_batches = _resolve_micro_batches(config, world.size) if world.is_main else 0
    micro_batches = int(world.broadcast_from_main(micro_batches))
    return dataclasses.replace(config, global_micro_batches=micro_batches)


def _resolve_micro_batches(config: RunConfig, processes: int) -> int:
    recorded = _recorded_micro_batches(config) if config.global_micro_batches is None else None
    if recorded is not None and recorded % processes:
        raise UserError(
            f"{config.out}: the run to resume has {recorded} micro-batches in a step, not a multiple of {processes}"
            f" processes; start a number of processes that divides {recorded}, or give another --out"
        )
    return resolve_micro_batches(recorded or config.global_micro_batches, processes, config.fewest_micro_batches)


def _resume_from_own_checkpoint_after_restart(config: ConfigT) -> ConfigT:
    """Use --resume auto where SLURM or torchrun restarts a run that has already resumed from --resume PATH.

    They repeat the command, and the run would return to PATH at every restart.
    """
    restarts = (os.environ.get(name, "0") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))
    if config.resume in ("auto", "none") or all(count == "0" for count in restarts):
        return config
    directory, path = (config.out / "checkpoints").resolve(), Path(config.resume).resolve()
    if path.parent == directory:
        has_resumed = any(directory.glob("replaced-by-step-*"))
    else:
        has_resumed = bool(checkpoints(directory))
    return dataclasses.replace(config, resume="auto") if has_resumed else config


def _recorded_micro_batches(config: RunConfig) -> int | None:
    """`global_micro_batches` in the newest readable checkpoint of the run to resume. None for a new run."""
    if config.resume == "none":
        return None
    candidates = checkpoints(config.out / "checkpoints") if config.resume == "auto" else [Path(config.resume)]
    for checkpoint in candidates:
        identity = saved_identity(checkpoint)
        if identity is not None:
            value = identity.get("global_micro_batches")
            return value if isinstance(value, int) and value > 0 else None
    return None


def run_identity(config: RunConfig, store: TokenStore, precision: str, sampler: Sampler) -> dict[str, object]:
    """The settings that a checkpoint and a run that resumes from it must share.

    The number of processes is not one of them.
    """
    left_out = set(_WITHOUT_EFFECT)
    if config.save_model == "best":
        left_out -= _DECIDE_THE_BEST
    if config.decay == "constant" and config.warmup_steps is not None:  # no step depends on the length of the run
        left_out |= {"epochs", "max_steps"}
    identity = {name: value for name, value in to_json(config).items() if name not in left_out}
    identity["model"] = os.path.realpath(config.model) if os.path.isdir(config.model) else config.model
    return {**identity, "precision": precision, "store": store.identity, "sampler": sampler.version}


def resume(trainer: Trainer, config: RunConfig, identity: dict[str, object]) -> Path | None:
    """Load the checkpoint to resume from. Returns it, or None if the run starts from step 0."""
    if config.resume == "none":
        return None
    if config.resume == "auto":
        checkpoint = _newest_on_main(config.out / "checkpoints", trainer.world)
        if checkpoint is None:
            return None
    else:
        checkpoint = Path(config.resume)
        problem = verify(checkpoint)
        if problem is not None:
            raise UserError(f"--resume {checkpoint}: {problem}; give another checkpoint")
    load_checkpoint(checkpoint, trainer, identity)
    step, steps = trainer.progress.step, trainer.total_steps
    if steps is not None and step > steps:
        raise UserError(
            f"{checkpoint}: is at step {step}, but this run ends at step {steps}; give more --epochs or --max-steps,"
            " or another --out"
        )
    if trainer.world.is_main:
        print(f"resuming from {checkpoint}", file=sys.stderr)
    return checkpoint


def is_newest(directory: Path, checkpoint: Path | None) -> bool:
    """True if `checkpoint` is the newest one in `directory`."""
    newest = checkpoints(directory)[:1]
    return checkpoint is not None and newest != [] and newest[0].samefile(checkpoint)


def move_replaced_checkpoints(directory: Path, checkpoint: Path, step: int) -> None:
    """Move the checkpoints that this run replaces to `replaced-by-step-N`, and print a message.

    Otherwise the next --resume auto would use one of them, and pruning would count them among the newest.
    `checkpoint`: the one to resume from, which may be in another run's directory. `step`: its step.
    """
    replaced = [path for path in checkpoints(directory) if step_of(path) >= step and not path.samefile(checkpoint)]
    if not replaced:
        return
    target = unused_name(directory / f"replaced-by-step-{step}")
    target.mkdir()
    for path in replaced:
        path.rename(target / path.name)
    moved = f"moved the checkpoints that this run replaces ({len(replaced)}) to {target}"
    print(f"{moved} and removed the metrics after step {step}", file=sys.stderr)


def forget_unusable_best(directory: Path, progress: Progress) -> None:
    """Reset the best evaluation in `progress`, and print a message, if `directory` has no valid checkpoint of it.

    Then the best is chosen from the evaluations that follow. Otherwise a run with --save-model best would fail at its
    end, and the checkpoint of its best new evaluation might not be kept. Only rank 0 calls it, because the other ranks
    do not use the best evaluation.
    """
    step = progress.best_step
    if step in (-1, progress.step) or is_of_best(checkpoint_path(directory, step), progress):
        return
    progress.best_step, progress.best_loss = Progress.best_step, Progress.best_loss
    problem = f"{directory} has no valid checkpoint of the best evaluation so far, at step {step}"
    print(f"{problem}; the best is chosen from evaluations after step {progress.step}", file=sys.stderr)


def _newest_on_main(directory: Path, world: World) -> Path | None:
    """The newest valid checkpoint on rank 0. All ranks get the same one. Raises `UserError` if all are damaged."""
    checkpoint, damaged = None, False
    if world.is_main:
        checkpoint, warnings = newest_verified(directory)
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        damaged = checkpoint is None and bool(warnings)
    if world.any(damaged):
        raise UserError(f"{directory}: has no valid checkpoint; remove it to start from step 0, or give another --out")
    step = int(world.broadcast_from_main(step_of(checkpoint) if checkpoint else -1))
    return checkpoint_path(directory, step) if step >= 0 else None
