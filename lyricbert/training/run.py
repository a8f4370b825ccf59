"""Runs training in a directory RUN.

It writes RUN/config.json, RUN/checkpoints, RUN/tensorboard, RUN/metrics.jsonl and, at the end, RUN/model.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from lyricbert.config import to_json
from lyricbert.errors import UserError
from lyricbert.files import write_errors_as_user_error, write_json
from lyricbert.models.history import History
from lyricbert.runtime.distributed import World
from lyricbert.runtime.lock import LOCK, lock_run_directory
from lyricbert.songs.store import TokenStore
from lyricbert.training.checkpoint import checkpoints, leftovers, save_checkpoint
from lyricbert.training.config import RunConfig
from lyricbert.training.hooks.bad_steps import BadStepHook
from lyricbert.training.hooks.checkpoint import CheckpointHook
from lyricbert.training.hooks.evaluate import EvalHook
from lyricbert.training.hooks.log import LogHook
from lyricbert.training.hooks.profile import ProfileHook
from lyricbert.training.hooks.stop import StopHook
from lyricbert.training.loop import Trainer
from lyricbert.training.metrics import MetricsWriter, check_board_directory
from lyricbert.training.result import read_base_history, save_model, set_model_aside
from lyricbert.training.resume import forget_unusable_best, is_newest, move_replaced_checkpoints, resume, run_identity
from lyricbert.training.task import HeadWarmup, Task


def check_run_directory(config: RunConfig) -> None:
    """Raise `UserError` if RUN is not a run's directory, or if `config.resume` does not fit the run in it."""
    out = config.out
    if out.exists() and (not out.is_dir() or (_is_filled(out) and not (out / "config.json").is_file())):
        raise UserError(f"{out}: exists and is not a run's directory; give another --out")
    if os.path.isdir(config.model) and out.resolve() in Path(config.model).resolve().parents:
        raise UserError(f"--model {config.model}: lies in --out {out}, which the run changes; give another --out")
    if config.resume == "none" and checkpoints(out / "checkpoints"):
        raise UserError(f"{out}: holds a run, which --resume none would overwrite; give another --out or --resume auto")
    if config.resume not in ("auto", "none") and not os.path.isdir(config.resume):
        raise UserError(f"--resume {config.resume}: no such checkpoint; give auto, none or a checkpoint directory")


def _is_filled(directory: Path) -> bool:
    """True if the directory contains anything besides the lock file."""
    return any(path.name != LOCK for path in directory.iterdir())


def train_run(
    task: Task,
    config: RunConfig,
    world: World,
    store: TokenStore,
    head_warmup: HeadWarmup | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Train `task` and write RUN/model at the end. Resumes as `config.resume` says.

    `clock` returns seconds; the run is timed with it. Raises `UserError`.
    """
    trainer = Trainer(task, config, world, head_warmup, clock)
    base = History()  # only rank 0 reads it, because only rank 0 writes RUN/model
    with ExitStack() as stack:
        with world.raise_on_all_ranks():
            if world.is_main:
                base = read_base_history(config.model, store)
                stack.enter_context(lock_run_directory(config.out))
        _train(trainer, config, store, base)


def _train(trainer: Trainer, config: RunConfig, store: TokenStore, base: History) -> None:
    world = trainer.world
    identity = run_identity(config, store, trainer.train_step.precision, trainer.task.sampler)
    with world.raise_on_all_ranks():  # all ranks check the checkpoint before rank 0 writes
        checkpoint = resume(trainer, config, identity)
    with world.raise_on_all_ranks():
        writer = _prepare_run_directory(trainer, config, identity, checkpoint) if world.is_main else None
    hooks = [
        StopHook(trainer.clock),  # first, so that it also catches a signal during the first evaluation
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
            _finish(trainer, config, store, base)


@contextmanager
def _report_missing_ranks_on_timeout(world: World) -> Iterator[None]:
    """If this process times out waiting for other ranks, print which ones did not respond."""
    try:
        yield
    except RuntimeError as error:
        if world.size > 1 and "timed out" in str(error).lower():
            waited = f"error: rank {world.rank} timed out waiting for {world.unresponsive_ranks()}"
            print(f"{waited}; see --timeout-minutes", file=sys.stderr, flush=True)
        raise


def _finish(trainer: Trainer, config: RunConfig, store: TokenStore, base: History) -> None:
    step = trainer.progress.step
    if trainer.fraction_done < 1:
        how = "the same command" if config.resume == "auto" else "the same command with --resume auto"
        print(
            f"Stopped by {trainer.stop_signal} at step {step}. Checkpoint saved. Run {how} to resume.",
            file=sys.stderr,
        )
        return
    model = config.out / "model"
    if model.exists():  # `_prepare_run_directory` keeps it only if it is the model of this finished run
        print(f"already finished at step {step}; kept {model}", file=sys.stderr)
    else:
        which = save_model(trainer, config, store, base)
        print(f"finished at step {step}; {which} is in {model}", file=sys.stderr)


def _prepare_run_directory(
    trainer: Trainer, config: RunConfig, identity: dict[str, object], checkpoint: Path | None
) -> MetricsWriter:
    """Prepare RUN for the first step of this process, which resumes from `checkpoint` or starts from step 0."""
    world, directory = trainer.world, config.out / "checkpoints"
    resumed_step = -1 if checkpoint is None else trainer.progress.step
    check_board_directory(config.out)
    facts = {"world_size": world.size, "device": world.device.type, "torch": torch.__version__}
    with write_errors_as_user_error(config.out, "free some space or give another --out"):
        # The first file that is written. It marks the directory as a run's directory.
        write_json(config.out / "config.json", {**to_json(config), "precision": trainer.train_step.precision, **facts})
        directory.mkdir(exist_ok=True)
        for leftover in [*leftovers(directory), *config.out.glob(".model.tmp-*")]:
            shutil.rmtree(leftover, ignore_errors=True)
        # Before the checkpoints change. After an interruption here, the run is a finished one without its model, which
        # any command corrects. In the other order, an interruption would leave the model of a later step: the launcher
        # for SLURM would not requeue the job, and a run that ends at the step of `checkpoint` would keep that model.
        set_model_aside(config.out / "model", trainer.fraction_done >= 1 and is_newest(directory, checkpoint))
        if checkpoint is not None:
            move_replaced_checkpoints(directory, checkpoint, resumed_step)
            if trainer.fraction_done < 1:  # a finished run would have no other evaluation to choose
                forget_unusable_best(directory, trainer.progress)
            if not is_newest(directory, checkpoint):  # copy another run's checkpoint, so that --resume auto finds it
                save_checkpoint(directory, trainer, identity)
        writer = MetricsWriter(config.out, resumed_step)
        if resumed_step < 0:
            writer.hyperparameters(to_json(config), [trainer.task.best_metric])
    return writer
