"""The interface of a training task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from lyricbert.batches.batching import MicroBatch
from lyricbert.batches.sampler import Sampler


class Task(Protocol):
    """A task that the loop trains. It makes micro-batches, evaluates and saves the model.

    `module(*micro_batch.inputs)` returns the summed loss of a micro-batch, float32 []. `name`: of the task, for the
    history of its models. `best_metric`: name of the held-out loss in `evaluate()`; the best evaluation is the one with
    the lowest value.
    """

    name: str
    best_metric: str

    @property
    def module(self) -> nn.Module: ...

    @property
    def sampler(self) -> Sampler: ...

    def micro_batch(self, indices: np.ndarray, epoch: int) -> MicroBatch:
        """The micro-batch, on the CPU, of the examples `indices`: an int64 array from the sampler."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on the held-out examples, by name. All ranks call it together."""

    def prediction_table(self) -> str | None:
        """A Markdown table of predictions on fixed examples, or None if the task has none. Only rank 0 calls it."""

    def save(self, directory: Path) -> None:
        """Write the trained model as a Hugging Face directory."""


@dataclass(frozen=True)
class HeadWarmup:
    """Freezes `parameters` for the first `steps` steps. The others train with the constant learning rate `lr`."""

    parameters: Sequence[nn.Parameter] = ()
    steps: int = 0
    lr: float = 0.0
