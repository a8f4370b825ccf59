"""A training run in a directory: RUN/config.json, RUN/checkpoints, RUN/tensorboard, RUN/metrics.jsonl, RUN/model."""

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from lyricbert.batches.sampler import resolve_micro_batches
from lyricbert.config import to_json
from lyricbert.errors import UserError
from lyricbert.files import new_directory, write_errors_as_user_error, write_json
from lyricbert.runtime.distributed import World
from lyricbert.songs.store import TokenStore
from lyricbert.training.checkpoint import (
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    newest_verified,
    remove_leftovers,
    saved_identity,
    step_of,
    verify,
)
from lyricbert.training.config import HookConfig, RunConfig
from lyricbert.training.hooks.bad_steps import BadStepHook
from lyricbert.training.hooks.checkpoint import CheckpointHook
from lyricbert.training.hooks.evaluate import EvalHook
from lyricbert.training.hooks.log import LogHook
from lyricbert.training.hooks.profile import ProfileHook
from lyricbert.training.hooks.stop import StopHook
from lyricbert.training.lock import LOCK, lock_run_directory
from lyricbert.training.loop import Trainer
from lyricbert.training.metrics import MetricsWriter
from lyricbert.training.task import HeadWarmup, Task

ConfigT = TypeVar("ConfigT", bound=RunConfig)

# Settings that change what is watched and kept, but not the weights.
_WITHOUT_EFFECT = {"data", "out", "eval_examples", *(field.name for field in dataclasses.fields(HookConfig))}


def check_run_directory(config: RunConfig) -> None:
    """Raise `UserError` if RUN holds something else than a run, or a run that may not be gone on with."""
    out = config.out
    if out.exists() and (not out.is_dir() or (_is_filled(out) and not (out / "config.json").is_file())):
        raise UserError(f"{out}: exists and is not a run's directory; give another --out")
    if config.resume == "none" and checkpoints(out / "checkpoints"):
        raise UserError(f"{out}: holds a run, which --resume none would overwrite; give another --out or --resume auto")
    if config.resume not in ("auto", "none") and not os.path.isdir(config.resume):
        raise UserError(f"--resume {config.resume}: no such checkpoint; give auto, none or a checkpoint directory")


def _is_filled(directory: Path) -> bool:
    """Whether it holds more than what a run that ended before its first line leaves."""
    return any(path.name != LOCK for path in directory.iterdir())


def resolve_config(config: ConfigT, world: World) -> ConfigT:
    """Fill in the number of micro-batches in a step, where the command leaves it open.

    A run that resumes keeps its number, whatever the number of processes, and so trains the same steps. Raises
    `UserError` if the number of processes does not divide it.
    """
    recorded = None
    if config.global_micro_batches is None:
        with world.raise_on_all_ranks():
            recorded = _recorded_micro_batches(config) if world.is_main else None
        recorded = int(world.broadcast_from_main(recorded or 0)) or None
    if recorded is not None and recorded % world.size:
        raise UserError(
            f"{config.out}: the run to resume has {recorded} micro-batches in a step, not a multiple of {world.size}"
            f" processes; start a number of processes that divides {recorded}, or give another --out"
        )
    micro_batches = resolve_micro_batches(recorded or config.global_micro_batches, world.size)
    return dataclasses.replace(config, global_micro_batches=micro_batches)


def _recorded_micro_batches(config: RunConfig) -> int | None:
    """The micro-batches in a step of the run to resume, from its newest checkpoint that tells; None for a new run."""
    if config.resume == "none":
        return None
    candidates = checkpoints(config.out / "checkpoints") if config.resume == "auto" else [Path(config.resume)]
    for checkpoint in candidates:
        identity = saved_identity(checkpoint)
        if identity is not None:
            value = identity.get("global_micro_batches")
            return value if isinstance(value, int) and value > 0 else None
    return None


def train_run(
    task: Task, config: RunConfig, world: World, store: TokenStore, head_warmup: HeadWarmup | None = None
) -> None:
    """Train `task` as `config` says, going on where RUN's newest checkpoint stands, and write RUN/model at the end."""
    trainer = Trainer(task, config, world, head_warmup)
    with ExitStack() as stack:
        with world.raise_on_all_ranks():
            if world.is_main:
                stack.enter_context(lock_run_directory(config.out))
        _train(trainer, config, store)


def _train(trainer: Trainer, config: RunConfig, store: TokenStore) -> None:
    world = trainer.world
    identity = _identity(config, store, trainer.train_step.precision)
    with world.raise_on_all_ranks():  # every rank has checked the checkpoint before the first one writes
        resumed_step = _resume(trainer, config, identity)
    with world.raise_on_all_ranks():
        writer = _prepare_run_directory(trainer, config, resumed_step) if world.is_main else None
    hooks = [
        StopHook(),  # first, so that a signal during the first evaluation counts
        LogHook(writer, config),
        EvalHook(writer, config),
        BadStepHook(config.max_bad_steps),
        CheckpointHook(config.out / "checkpoints", config, identity),
    ]
    if config.profile and world.is_main:
        hooks.append(ProfileHook(config.out / "tensorboard"))
    with _report_missing_ranks_on_timeout(world):
        trainer.train(hooks)
    with world.raise_on_all_ranks():
        if writer is not None:
            writer.close()
            _finish(trainer, config)


@contextmanager
def _report_missing_ranks_on_timeout(world: World) -> Iterator[None]:
    """Where a process gives up waiting for the others, says for which."""
    try:
        yield
    except RuntimeError as error:
        if world.size > 1 and "timed out" in str(error).lower():
            waited = f"error: rank {world.rank} gave up waiting for {world.unresponsive_ranks()}"
            print(f"{waited}; see --timeout-minutes", file=sys.stderr, flush=True)
        raise


def _finish(trainer: Trainer, config: RunConfig) -> None:
    step = trainer.progress.step
    if trainer.stop_signal is not None:
        print(f"stopped by {trainer.stop_signal} at step {step}, saved; run the same command to go on", file=sys.stderr)
        return
    if not (config.out / "model").exists():
        with new_directory(config.out / "model") as directory:
            trainer.task.save(directory)
    print(f"finished at step {step}; the model is in {config.out / 'model'}", file=sys.stderr)


def _prepare_run_directory(trainer: Trainer, config: RunConfig, resumed_step: int) -> MetricsWriter:
    """Make RUN what it is before the first step of this process."""
    world = trainer.world
    facts = {"world_size": world.size, "device": world.device.type, "torch": torch.__version__}
    with write_errors_as_user_error(config.out, "free some space or give another --out"):
        # The first file of all: it says that the directory is a run's.
        write_json(config.out / "config.json", {**to_json(config), "precision": trainer.train_step.precision, **facts})
        (config.out / "checkpoints").mkdir(exist_ok=True)
        remove_leftovers(config.out / "checkpoints", ".step-*")
        remove_leftovers(config.out, ".model.tmp-*")
        writer = MetricsWriter(config.out, resumed_step)
        if resumed_step < 0:
            writer.hyperparameters(to_json(config), [trainer.task.best_metric])
    return writer


def _identity(config: RunConfig, store: TokenStore, precision: str) -> dict[str, object]:
    """What a checkpoint and the run that goes on from it must share. The number of processes is not part of it."""
    identity = {name: value for name, value in to_json(config).items() if name not in _WITHOUT_EFFECT}
    identity["model"] = os.path.realpath(config.model) if os.path.isdir(config.model) else config.model
    return {**identity, "precision": precision, "store": store.identity}


def _resume(trainer: Trainer, config: RunConfig, identity: dict[str, object]) -> int:
    """Load the checkpoint to go on from. Returns its step, -1 if the run starts anew."""
    if config.resume == "none":
        return -1
    if config.resume == "auto":
        checkpoint = _newest_on_main(config.out / "checkpoints", trainer.world)
        if checkpoint is None:
            return -1
    else:
        checkpoint = Path(config.resume)
        problem = verify(checkpoint)
        if problem is not None:
            raise UserError(f"--resume {checkpoint}: {problem}; give another checkpoint")
    load_checkpoint(checkpoint, trainer, identity)
    if trainer.world.is_main:
        print(f"going on from {checkpoint}", file=sys.stderr)
    return trainer.progress.step


def _newest_on_main(directory: Path, world: World) -> Path | None:
    """The newest whole checkpoint as the first rank sees it, so that all ranks take the same."""
    checkpoint, damaged = None, False
    if world.is_main:
        checkpoint, warnings = newest_verified(directory)
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        damaged = checkpoint is None and bool(warnings)
    if world.any(damaged):
        raise UserError(f"{directory}: holds no whole checkpoint; remove it to start anew, or give another --out")
    step = int(world.broadcast_from_main(step_of(checkpoint) if checkpoint else -1))
    return checkpoint_path(directory, step) if step >= 0 else None
