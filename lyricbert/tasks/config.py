"""Settings of the tasks and of the comparison. Imports neither torch nor transformers, so that --help is quick."""

from dataclasses import dataclass
from pathlib import Path

from lyricbert.config import option
from lyricbert.training.config import LoopConfig

LAYOUTS = ("padded", "packed")
LOSSES = ("triplet", "batch-hard", "soft-margin")
DISTANCES = ("cosine", "euclidean")
POOLINGS = ("mean", "cls")


@dataclass(frozen=True, kw_only=True)
class MaskedLMConfig(LoopConfig):
    """masked language model"""

    unit: str = option("what an example is", "line", choices=("line", "section"))
    mask_rate: float = option("share of the tokens to predict in training (evaluation: 0.15)", 0.15, check="fraction")
    masking: str = option("new masks every epoch, or the same", "dynamic", choices=("dynamic", "static"))
    layout: str = option(
        "rows of one example, padded to like lengths, or packed rows of 128 tokens, all of one shape",
        "padded",
        choices=LAYOUTS,
    )
    compile: bool = option("compile the layers and the loss with torch.compile", False)
    head_warmup_steps: int = option("steps that train the MLM head alone, first", 0, check="non-negative")
    head_warmup_lr: float = option("learning rate of those steps", 1e-3, check="positive")
    eval_examples: int = option("most held-out examples to evaluate on", 10_000, check="positive")


@dataclass(frozen=True, kw_only=True)
class TripletConfig(LoopConfig):
    """triplets"""

    epochs: int = option("length of the run in epochs", 2, check="positive")
    tokens_per_batch: int = option("most padded tokens in a micro-batch", 1024, check="positive")
    loss: str = option(
        "hinge on the given triplets, hinge on the hardest of a batch, or softplus", "triplet", choices=LOSSES
    )
    margin: float = option("how much closer the positive should be than the negative", 0.5, check="positive")
    distance: str = option("between embeddings", "cosine", choices=DISTANCES)
    pooling: str = option("of a section's tokens to an embedding", "mean", choices=POOLINGS)
    max_length: int = option("longest section in tokens; longer ones keep their first lines", 128, check="positive")
    max_songs: int | None = option("most labelled songs to train on (default: all)", None, check="positive")


@dataclass(frozen=True, kw_only=True)
class CompareConfig(TripletConfig):
    """comparison"""

    data: Path = option("the token store that lyricbert.prepare made")
    base: str = option("the model before adapting: a directory or a hub name")
    adapted: str = option("the model after it, e.g. RUN/model")
    out: Path = option("the directory to make for the report; must not exist")
    # One process: the trainer's four micro-batches of 1024 tokens in one.
    tokens_per_batch: int = option("most padded tokens in a micro-batch", 4096, check="positive")
    global_micro_batches: int = option("micro-batches in a step", 1, check="positive")
    seeds: int = option("triplet trainings of each model, from --seed on", 5, check="positive")
    eval_examples: int = option("most held-out lines for the MLM figures", 10_000, check="positive")
