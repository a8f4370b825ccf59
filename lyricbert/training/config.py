"""Settings of the loop, its hooks and a run. Imports neither torch nor transformers, so that --help is quick."""

from dataclasses import dataclass
from pathlib import Path

from lyricbert.config import option

PRECISIONS = ("bf16", "fp16", "fp32")
DECAYS = ("linear", "cosine")
PROFILED_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """training"""

    epochs: int = option("length of the run in epochs", 4, check="positive")
    max_steps: int | None = option("length of the run in steps, instead of --epochs", None, check="positive")
    max_minutes: float | None = option("length of the run in minutes, instead of --epochs", None, check="positive")
    lr: float = option("peak learning rate", 5e-5, check="positive")
    warmup_fraction: float = option("share of the run in which the learning rate rises", 0.06, check="share")
    decay: str = option("how the learning rate falls to 0 after that", "linear", choices=DECAYS)
    weight_decay: float = option("AdamW's, not on biases and LayerNorm", 0.01, check="non-negative")
    clip: float = option("largest norm of the gradient", 1.0, check="positive")
    tokens_per_batch: int = option("most padded tokens in a micro-batch", 2048, check="positive")
    global_micro_batches: int = option(
        "micro-batches in a step, over all processes; a multiple of their number", 4, check="positive"
    )
    precision: str | None = option(
        "of matrix products (default: bf16 where the device has it, else fp32)", None, choices=PRECISIONS
    )
    compress_gradients: bool = option("send gradients between processes in bf16, for slow links", False)
    seed: int = option("seed of order, masks and dropout", 0, check="seed")


@dataclass(frozen=True, kw_only=True)
class HookConfig:
    """monitoring and checkpoints"""

    log_every: int = option("steps between two points of the training curves", 10, check="positive")
    eval_every: int = option(
        "steps between two evaluations (0: only at the start and the end)", 0, check="non-negative"
    )
    checkpoint_every: int = option("steps between two checkpoints (0: by the clock)", 0, check="non-negative")
    checkpoint_minutes: float = option("minutes between two checkpoints", 15.0, check="positive")
    max_bad_steps: int = option("steps in a row to skip for a loss that is not finite", 10, check="positive")
    timeout_minutes: float = option("minutes that a process waits for the others", 10.0, check="positive")
    keep_going: bool = option("go on with a warning where a checkpoint or a curve cannot be written", False)
    keep_last: int = option("newest checkpoints to keep; the best is kept besides", 2, check="positive")
    profile: bool = option(f"write a trace of {PROFILED_STEPS} early steps to the TensorBoard directory", False)
    resume: str = option("auto (from the newest whole checkpoint of --out), none, or a checkpoint directory", "auto")


@dataclass(frozen=True, kw_only=True)
class PathConfig:
    """what to train, and where"""

    data: Path = option("the token store that lyricbert.prepare made")
    model: str = option("the BERT to start from: a directory or a hub name")
    out: Path = option("the run's directory; a run found there goes on")


@dataclass(frozen=True, kw_only=True)
class RunConfig(HookConfig, LoopConfig, PathConfig):
    """run"""
