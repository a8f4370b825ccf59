"""A training run in a directory: RUN/config.json, RUN/checkpoints, RUN/tensorboard, RUN/metrics.jsonl, RUN/model."""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from lyricbert.checkpoint import (
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    newest_verified,
    remove_leftovers,
    step_of,
    verify,
)
from lyricbert.config import option, to_json
from lyricbert.distributed import World
from lyricbert.errors import UserError
from lyricbert.files import new_directory, write_json
from lyricbert.hooks import BadStepHook, CheckpointHook, EvalHook, HookConfig, LogHook, ProfileHook, StopHook
from lyricbert.lock import LOCK, exclusive
from lyricbert.loop import Freeze, LoopConfig, Task, Trainer
from lyricbert.metrics import MetricsWriter
from lyricbert.store import TokenStore


@dataclass(frozen=True, kw_only=True)
class PathConfig:
    """what to train, and where"""

    data: Path = option("the token store that lyricbert.prepare made")
    model: str = option("the BERT to start from: a directory or a hub name")
    out: Path = option("the run's directory; a run found there goes on")


@dataclass(frozen=True, kw_only=True)
class RunConfig(HookConfig, LoopConfig, PathConfig):
    """run"""


# Settings that change what is watched and kept, but not the weights.
_WITHOUT_EFFECT = {"data", "out", "eval_examples", *(field.name for field in dataclasses.fields(HookConfig))}


def check_run_directory(config: RunConfig) -> None:
    """Raise `UserError` if RUN holds something else than a run, or a run that may not be gone on with."""
    out = config.out
    if out.exists() and (not out.is_dir() or (_is_filled(out) and not (out / "config.json").is_file())):
        raise UserError(f"{out}: exists and is not a run's directory; give another --out")
    if config.resume == "none" and checkpoints(out / "checkpoints"):
        raise UserError(f"{out}: holds a run, which --resume none would overwrite; give another --out or --resume auto")
    if config.resume not in ("auto", "none") and not Path(config.resume).is_dir():
        raise UserError(f"--resume {config.resume}: no such checkpoint; give auto, none or a checkpoint directory")


def _is_filled(directory: Path) -> bool:
    """Whether it holds more than what a run that ended before its first line leaves."""
    return any(path.name != LOCK for path in directory.iterdir())


def train_run(task: Task, config: RunConfig, world: World, store: TokenStore, freeze: Freeze | None = None) -> None:
    """Train `task` as `config` says, going on where RUN's newest checkpoint stands, and write RUN/model at the end."""
    trainer = Trainer(task, config, world, freeze)
    with exclusive(config.out) if world.is_main else nullcontext():
        _train(trainer, config, store)


def _train(trainer: Trainer, config: RunConfig, store: TokenStore) -> None:
    world, task = trainer.world, trainer.task
    identity = _identity(config, store, trainer.precision)
    resumed_step = _resume(trainer, config, identity)
    world.barrier()  # every rank has checked the directory and the checkpoint before the first one writes
    if world.is_main:
        _write_config(config, world, trainer.precision)
    writer = MetricsWriter(config.out, resumed_step) if world.is_main else None
    if writer is not None and resumed_step < 0:
        writer.hyperparameters(to_json(config), [task.best_metric])
    hooks = [
        LogHook(writer, config.log_every),
        EvalHook(writer, config.eval_every),
        BadStepHook(config.max_bad_steps),
        StopHook(),
        CheckpointHook(config.out / "checkpoints", config, identity),
    ]
    if config.profile and world.is_main:
        hooks.append(ProfileHook(config.out / "tensorboard"))
    with _naming_the_missing(world):
        trainer.train(hooks)
    if writer is not None:
        writer.close()
        _finish(trainer, config)
    world.barrier()


@contextmanager
def _naming_the_missing(world: World) -> Iterator[None]:
    """Where a process gives up waiting for the others, says for which."""
    try:
        yield
    except RuntimeError as error:
        if world.size > 1 and "timed out" in str(error).lower():
            waited = f"error: rank {world.rank} gave up waiting for {world.missing()}"
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


def _write_config(config: RunConfig, world: World, precision: str) -> None:
    facts = {"precision": precision, "world_size": world.size, "device": world.device.type, "torch": torch.__version__}
    try:
        (config.out / "checkpoints").mkdir(parents=True, exist_ok=True)
        remove_leftovers(config.out / "checkpoints")
        write_json(config.out / "config.json", {**to_json(config), **facts})
    except OSError as error:
        raise UserError(f"{config.out}: cannot be written to ({error.strerror}); give another --out") from None


def _identity(config: RunConfig, store: TokenStore, precision: str) -> dict[str, object]:
    """What a checkpoint and the run that goes on from it must share. The number of processes is not part of it."""
    identity = {name: value for name, value in to_json(config).items() if name not in _WITHOUT_EFFECT}
    model = Path(config.model)
    identity["model"] = str(model.resolve()) if model.is_dir() else config.model
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
    checkpoint = None
    if world.is_main:
        checkpoint, warnings = newest_verified(directory)
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if checkpoint is None and warnings:
            print(f"warning: no whole checkpoint in {directory}; starting anew", file=sys.stderr)
    step = int(world.from_main(step_of(checkpoint) if checkpoint else -1))
    return checkpoint_path(directory, step) if step >= 0 else None
