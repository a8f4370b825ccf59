"""Settings of the tasks and of the comparison. Imports neither torch nor transformers, so that --help is quick."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import ClassVar

from lyricbert.config import option, with_default
from lyricbert.training.config import LoopConfig, PathConfig, micro_batches_option

LAYOUTS = ("padded", "packed")
LOSSES = ("triplet", "batch-hard", "soft-margin", "semi-hard", "infonce")
DISTANCES = ("cosine", "euclidean")
POOLINGS = ("mean", "cls")


@dataclass(frozen=True, kw_only=True)
class MaskedLMConfig(LoopConfig):
    """masked language model"""

    unit: str = option(
        "text of one example: a line, or a section (the lines between two blank lines)",
        "line",
        choices=("line", "section"),
        advice="`section` gives the model more context. Examples are longer, so a micro-batch holds fewer.",
    )
    mask_rate: float = option(
        "share of tokens to predict in training; evaluation always uses 0.15",
        0.15,
        check="fraction",
        advice="A higher rate gives more targets in a step but leaves less context for each.",
    )
    masking: str = option(
        "how often masks change: dynamic (new masks in every epoch) or static (the same in every epoch)",
        "dynamic",
        choices=("dynamic", "static"),
        advice="Use `static` only to compare with a recipe that masks its data once.",
    )
    layout: str = option(
        "arrangement of examples in a batch: padded (one per row, similar lengths together)"
        " or packed (several per row of 128 tokens)",
        "padded",
        choices=LAYOUTS,
        advice="Use `packed` with `--compile`, because all its micro-batches have one shape. Rows are longer than 128"
        " tokens if an example is.",
    )
    compile: bool = option(
        "compile the layers and the loss with torch.compile",
        False,
        advice="Use it on a GPU, with `--layout packed`. It is slower on a CPU.",
    )
    head_warmup_steps: int = option(
        "number of steps at the start that train only the MLM head, with the encoder frozen",
        0,
        check="non-negative",
        advice="Set it, for example to 50, for a model without an MLM head. Otherwise the new, random head damages the"
        " encoder. If it equals the number of steps of the run, only the head is trained. `compare` needs that for"
        " meaningful MLM rows: train the head alone first, and use that `RUN/model` as the base everywhere.",
    )
    head_warmup_lr: float = option(
        "learning rate while only the MLM head is trained",
        1e-3,
        check="positive",
        advice="Lower it if the training loss rises during `--head-warmup-steps`.",
    )
    eval_examples: int = option(
        "maximum number of held-out examples in an evaluation",
        10_000,
        check="positive",
        advice="Lower it for quicker evaluations.",
    )


@dataclass(frozen=True, kw_only=True)
class TripletConfig(LoopConfig):
    """triplet task"""

    epochs: int = with_default(LoopConfig, "epochs", 2)
    tokens_per_batch: int = with_default(LoopConfig, "tokens_per_batch", 1024)
    lr: float = with_default(LoopConfig, "lr", 2e-4)
    # A section is encoded once, so a step of four would have few updates of the weights in an epoch.
    fewest_micro_batches: ClassVar[int] = 2
    global_micro_batches: int | None = micro_batches_option(fewest_micro_batches)
    loss: str = option(
        "training loss: triplet (hinge), batch-hard (hinge on the hardest pairs of a micro-batch), soft-margin"
        " (softplus), semi-hard (hinge on the closest negatives beyond the positive) or infonce (cross-entropy over the"
        " positives of a micro-batch)",
        "triplet",
        choices=LOSSES,
        advice="Try `batch-hard` or `semi-hard` if `eval/active_triplets` is low: then few triplets still have a loss"
        " above 0. In training, `soft-margin` and `infonce` ignore `--margin`. `infonce` always uses the cosine"
        " distance. The held-out loss is always the hinge loss, with `--margin`.",
    )
    margin: float = option(
        "margin of the hinge loss, in units of --distance; the loss is 0 if the negative is farther away than the"
        " positive by at least the margin",
        0.5,
        check="positive",
        advice="Choose it from the curves `eval/positive_distance` and `eval/negative_distance`. Euclidean distances"
        " usually need a larger margin than cosine distances.",
    )
    distance: str = option(
        "distance between two embeddings: cosine (1 - cosine similarity, 0 to 2) or euclidean",
        "cosine",
        choices=DISTANCES,
        advice="Choose the distance that you will use the embeddings with.",
    )
    pooling: str = option(
        "embedding of a section: mean (mean of its token vectors) or cls (vector of its [CLS] token)",
        "mean",
        choices=POOLINGS,
        advice="If the model was trained as a sentence encoder, keep the pooling that it was trained with.",
    )
    max_length: int = option(
        "maximum length of a section in tokens; a longer section keeps only its first lines",
        128,
        check="positive",
        advice="Raise it for long sections, at the price of memory and time.",
    )
    max_songs: int | None = option(
        "maximum number of songs to train on (default: all)",
        None,
        check="positive",
        advice="Set it to measure how much adapting helps a task with few songs.",
    )
    eval_triplets: int = option(
        "maximum number of held-out triplets in an evaluation",
        10_000,
        check="positive",
        advice="Lower it for quicker evaluations.",
    )


@dataclass(frozen=True, kw_only=True)
class CompareConfig(TripletConfig):
    """comparison"""

    data: Path = with_default(PathConfig, "data", MISSING)
    base: tuple[str, ...] = option(
        "model before adapting: a directory or a Hugging Face hub name; may be repeated",
        advice="Give the model that the MLM run started from. Repeat it if you have several bases that were"
        " trained alike with different seeds.",
    )
    adapted: tuple[str, ...] = option(
        "model after adapting: a directory or a Hugging Face hub name; may be repeated",
        advice="Give `RUN/model` of the MLM run. To test the recipe rather than one model, adapt the base three times"
        " or more, with different `--seed` values, and give every model.",
    )
    out: Path = option(
        "output directory; if it holds results of the same comparison, they are used",
        advice="Give every comparison its own directory. With more `--seeds`, or more models at the end, only the new"
        " trainings run.",
    )
    # One process, so one micro-batch in a step. It has songs for more different negatives than the trainer's of 1024.
    tokens_per_batch: int = with_default(LoopConfig, "tokens_per_batch", 2048)
    global_micro_batches: int = option(
        "number of micro-batches in a step",
        1,
        check="positive",
        advice="Raise it for larger steps without more memory.",
    )
    max_songs: int = option(
        "maximum number of songs to train on, chosen by hash",
        1000,
        check="positive",
        advice="Set it to the number of songs that your task has labels for. With more songs, training takes longer.",
    )
    seeds: int = option(
        "number of triplet trainings of each model, with the seeds --seed, --seed + 1, ...",
        5,
        check="positive",
        advice="Raise it if the verdict is `cannot tell` and the report says that more seeds would be enough. Time"
        " grows in proportion. With fewer than 3, the verdict after triplet training is `cannot tell`.",
    )
    eval_examples: int = option(
        "maximum number of held-out lines for the MLM metrics",
        10_000,
        check="positive",
        advice="Lower it for a quicker report with wider intervals.",
    )

    smallest_difference: float = option(
        "smallest difference that matters, as a share of the base's value; the verdict is no difference if the whole"
        " interval lies between -X and +X times the base's value",
        0.01,
        check="share",
        advice="Set it to the smallest improvement that would be worth the effort of adapting. Changing it needs no new"
        " training.",
    )

    @property
    def models(self) -> dict[str, tuple[str, ...]]:
        """The directories or hub names of the models of each side."""
        return {"base": self.base, "adapted": self.adapted}
