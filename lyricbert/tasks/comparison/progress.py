"""Shows how far a comparison is: a progress bar in a terminal, else a line for each finished piece."""

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

from lyricbert.runtime.distributed import World
from lyricbert.tasks.comparison.pieces import Piece
from lyricbert.tasks.comparison.results import Result
from lyricbert.training.loop import Hook, StepResult, Trainer

_SHOWN = {"mlm_loss": "MLM loss", "untrained_triplet_loss": "triplet loss", "triplet_loss": "triplet loss"}


class Progress(Hook):
    """Counts the steps of all trainings of this process, as a hook of each. The bar shows the time left for all.

    Only rank 0 has a bar. `with` closes it.
    """

    def __init__(self, trainings: int, world: World):
        self._trainings = trainings  # those that have not started
        self._prefix = f"rank {world.rank}: " if world.size > 1 else ""
        self._bar: tqdm[Any] = tqdm(unit="step", smoothing=0, disable=None if world.is_main else True)
        self._start = 0.0

    def begin(self, piece: Piece) -> None:
        """Name a piece that begins."""
        self._bar.set_description_str(_describe(piece))

    def end(self, piece: Piece, result: Result) -> None:
        """Print a line for a finished piece, unless there is a bar."""
        figures = ", ".join(
            f"{_SHOWN[name]} {sums.mean():.4f}" for name, sums in result.figures.items() if name in _SHOWN
        )
        if self._bar.disable and not sys.stderr.isatty():
            print(f"{self._prefix}{_describe(piece)}: {figures}", file=sys.stderr, flush=True)

    def start(self, trainer: Trainer) -> None:
        self._start = self._bar.n
        self._bar.unit = "step" if trainer.total_steps is not None else "s"
        self._bar.total = self._start + self._trainings * _length(trainer)
        self._trainings -= 1
        if self._start == 0:
            self._bar.unpause()  # so that the time before the first training does not count

    def step(self, trainer: Trainer, result: StepResult) -> None:
        position = round(trainer.fraction_done * _length(trainer))
        self._bar.update(self._start + position - self._bar.n)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _length(trainer: Trainer) -> int:
    """The length of a training in steps, with --max-minutes in seconds."""
    return round(trainer.total_seconds) if trainer.total_steps is None else trainer.total_steps


def _describe(piece: Piece) -> str:
    return f"{piece.side} model {piece.model + 1}, " + (
        "without training" if piece.seed is None else f"seed {piece.seed}"
    )
