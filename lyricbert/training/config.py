"""Settings of the loop, its hooks and a run. It imports neither torch nor transformers, so that --help is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lyricbert.config import option

PRECISIONS = ("bf16", "fp16", "fp32")
DECAYS = ("linear", "cosine", "constant")
SAVED_MODELS = ("last", "best")
PROFILED_STEPS = 5


def micro_batches_option(fewest: int) -> Any:
    """The flag for the number of micro-batches in a step. By default it is at least `fewest`."""
    return option(
        "number of micro-batches in a step, over all processes; must be a multiple of the number of processes"
        f" (default: smallest multiple of the number of processes that is at least {fewest})",
        None,
        check="positive",
        advice="Raise it for larger steps without more memory. With the same value, any number of processes that"
        " divides it trains the same steps. Without the flag, a resumed run keeps its value.",
    )


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """training"""

    epochs: int = option(
        "length of the run in epochs",
        4,
        check="positive",
        advice="Raise it on a small corpus, as long as the held-out loss in TensorBoard still falls.",
    )
    max_steps: int | None = option(
        "length of the run in steps; replaces --epochs",
        None,
        check="positive",
        advice="Set it for a short trial or for a fixed number of updates. Cannot be combined with `--max-minutes`.",
    )
    max_minutes: float | None = option(
        "length of the run in minutes; replaces --epochs",
        None,
        check="positive",
        advice="Set it for a fixed time. The learning rate then follows the clock, so the run cannot be reproduced bit"
        " for bit. Cannot be combined with `--max-steps`.",
    )
    lr: float = option(
        "peak learning rate",
        5e-5,
        check="positive",
        advice="Raise it for a small model or a new MLM head: with `train_mlm.py`, the quickstart uses 2e-4. Lower it"
        " if the training loss rises.",
    )
    warmup_fraction: float = option(
        "share of the run in which the learning rate rises from 0 to --lr",
        0.06,
        check="share",
        advice="Raise it if the training loss jumps at the start.",
    )
    warmup_steps: int | None = option(
        "number of steps in which the learning rate rises from 0 to --lr; replaces --warmup-fraction",
        None,
        check="non-negative",
        omit_default=True,
        advice="Set it with `--decay constant` if you may want to make the run longer later. Cannot be combined with"
        " `--max-minutes`.",
    )
    decay: str = option(
        "learning rate after its warm-up: linear or cosine (shape of the fall to 0), or constant (stays at --lr)",
        "linear",
        choices=DECAYS,
        advice="`cosine` keeps the learning rate higher in the first half of the fall and lower in the second. With"
        " `constant` and `--warmup-steps`, a finished run resumes if you raise `--epochs` or `--max-steps`.",
    )
    weight_decay: float = option(
        "weight decay of AdamW; applies to matrices, not to biases and LayerNorm",
        0.01,
        check="non-negative",
        advice="Raise it if the held-out loss rises while the training loss falls.",
    )
    clip: float = option(
        "maximum norm of the gradient; a larger gradient is scaled down to it",
        1.0,
        check="positive",
        advice="Choose it from the curve `train/grad_norm`, which shows the norm before clipping.",
    )
    tokens_per_batch: int = option(
        "maximum number of tokens in a micro-batch, padding included",
        2048,
        check="positive",
        advice="Raise it until the GPU's memory is full. The largest micro-batch is tried first, so a value that is too"
        " high usually fails at once. In triplet training, it must hold two songs, or parts of songs.",
    )
    fewest_micro_batches: ClassVar[int] = 4
    global_micro_batches: int | None = micro_batches_option(fewest_micro_batches)
    precision: str | None = option(
        "autocast dtype: bf16, fp16 or fp32 (default: bf16 if the device supports it, else fp32)",
        None,
        choices=PRECISIONS,
        advice="Use `fp16`, which adds a gradient scaler, on GPUs without bf16. Use `fp32` to rule out rounding as the"
        " cause of a problem.",
    )
    compress_gradients: bool = option(
        "send gradients between processes in bf16",
        False,
        advice="Use it if the network between nodes is slow. It halves the bytes that each step sends.",
    )
    seed: int = option(
        "random seed for data order, masks, triplets and dropout",
        0,
        check="seed",
        advice="Change it to see how much results vary by chance. The same seed reproduces the run.",
    )


@dataclass(frozen=True, kw_only=True)
class HookConfig:
    """logging, evaluation and checkpoints"""

    log_every: int = option(
        "steps between two points of the training curves",
        10,
        check="positive",
        advice="Lower it for a short run. Each point waits for the GPU, so very low values cost time.",
    )
    eval_every: int = option(
        "steps between two evaluations; 0 evaluates only at the start and at the end",
        0,
        check="non-negative",
        advice="Set it to follow the held-out loss during the run. The checkpoint with the lowest held-out loss is"
        " kept.",
    )
    checkpoint_every: int = option(
        "steps between two checkpoints; 0 uses --checkpoint-minutes instead",
        0,
        check="non-negative",
        advice="Set it if you want checkpoints at known steps.",
    )
    checkpoint_minutes: float = option(
        "minutes between two checkpoints; ignored if --checkpoint-every is above 0",
        15.0,
        check="positive",
        advice="Lower it if machines fail often. A killed run loses the work since its last checkpoint.",
    )
    max_bad_steps: int = option(
        "number of consecutive skipped steps that ends the run; a step is skipped if its loss is not finite",
        10,
        check="positive",
        advice="The error message names the examples of the last such step. Look at them, or lower `--lr`, before you"
        " raise the number.",
    )
    timeout_minutes: float = option(
        "minutes that a process waits for the others; then the run ends and names those that did not respond",
        10.0,
        check="positive",
        advice="Keep it longer than the time to write a checkpoint. Raise it on slow storage.",
    )
    keep_going: bool = option(
        "print a warning and continue if a checkpoint or a curve cannot be written; without this flag, the run ends",
        False,
        advice="Use it if finishing the run matters more than having its checkpoints, for example on a disk that may"
        " fill up. Earlier checkpoints stay valid either way.",
    )
    keep_last: int = option(
        "number of newest checkpoints to keep; the one with the lowest held-out loss is kept too",
        2,
        check="positive",
        advice="Set it to 1 to save disk space. A checkpoint is about three times as large as the model in fp32.",
    )
    save_model: str = option(
        "model to save at the end: last (of the last step) or best (of the evaluation with the lowest held-out loss)",
        "last",
        choices=SAVED_MODELS,
        omit_default=True,
        advice="Use `best` with `--eval-every` if the held-out loss rises before the end. A resumed run must then keep"
        " `--eval-every` (and `--eval-examples` of `train_mlm.py`, `--eval-triplets` of `train_triplet.py`). If"
        " `RUN/checkpoints` has no valid checkpoint of the best evaluation when a run resumes, the best is chosen from"
        " later evaluations. A message says so.",
    )
    profile: bool = option(
        f"write a torch.profiler trace of {PROFILED_STEPS} early steps to the TensorBoard directory",
        False,
        advice="Use it to see where the time of a step goes.",
    )
    resume: str = option(
        "checkpoint to resume from: auto (newest valid one in --out, if any),"
        " none (start anew; refused if --out has checkpoints), or a directory",
        "auto",
        advice="Give a directory to return to an earlier checkpoint. Give `none` in a script that must never resume.",
    )


@dataclass(frozen=True, kw_only=True)
class PathConfig:
    """data, model and output"""

    data: Path = option(
        "token store: a directory that lyricbert.prepare made",
        advice="Prepare it with the tokenizer of the model.",
    )
    model: str = option(
        "BERT to start from: a directory or a Hugging Face hub name",
        advice="For triplet training, give `RUN/model` of an MLM run, or any BERT.",
    )
    out: Path = option(
        "output directory; if it holds an unfinished run, training resumes",
        advice="Give every run its own directory.",
    )


@dataclass(frozen=True, kw_only=True)
class RunConfig(HookConfig, LoopConfig, PathConfig):
    """run"""
