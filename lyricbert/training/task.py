"""What the loop trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from lyricbert.batches.batching import MicroBatch
from lyricbert.batches.sampler import Sampler


class Task(Protocol):
    """What the loop trains: it makes batches, turns them into arguments of its module, evaluates and saves itself.

    `module(*inputs)` is a summed loss, float32 [].
    """

    best_metric: str

    @property
    def module(self) -> nn.Module: ...

    @property
    def sampler(self) -> Sampler: ...

    def micro_batch(self, indices: np.ndarray, epoch: int) -> MicroBatch:
        """The batch, on the CPU, of the sampler's examples `indices`: int64 [rows, examples of a row]."""

    def evaluate(self) -> dict[str, float]:
        """Figures on the held-out examples, by name. Called on every rank at once."""

    def prediction_table(self) -> str | None:
        """A Markdown table of predictions on fixed examples, if the task has one. Called on the first rank."""

    def save(self, directory: Path) -> None:
        """Write the trained model as a Hugging Face directory."""


@dataclass(frozen=True)
class HeadWarmup:
    """Parameters that rest during the first `steps` steps, in which the others train at the constant rate `lr`."""

    parameters: Sequence[nn.Parameter] = ()
    steps: int = 0
    lr: float = 0.0
