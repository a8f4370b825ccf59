"""The pieces of work of a comparison. Each can be measured alone, by any process."""

import re
from dataclasses import dataclass

from lyricbert.tasks.config import CompareConfig

SIDES = ("base", "adapted")


@dataclass(frozen=True)
class Piece:
    """The measurements of one model.

    `side`: "base" or "adapted". `model`: the index of the model among those of its side. `seed`: seed of a triplet
    training; the held-out triplets are evaluated after it. None: no training; the MLM figures and the held-out triplets
    of the model are evaluated.
    """

    side: str
    model: int
    seed: int | None = None

    @property
    def name(self) -> str:
        """Names the result, for example "adapted-2-seed-0". Models are counted from 1, in the order of the flags."""
        return f"{self.side}-{self.model + 1}-" + ("untrained" if self.seed is None else f"seed-{self.seed}")


def model_of(name: str) -> tuple[str, int] | None:
    """(side, index of the model) of the piece with this name. None if no piece has such a name."""
    match = re.match(r"(base|adapted)-([1-9]\d*)-", name)
    return (match[1], int(match[2]) - 1) if match else None


def pieces(config: CompareConfig) -> list[Piece]:
    """All pieces that the report of `config` needs: the evaluations, then the trainings of all models for each seed."""
    models = [(side, model) for side in SIDES for model in range(len(config.models[side]))]
    return [*(Piece(*of) for of in models), *(Piece(*of, seed) for seed in seeds(config) for of in models)]


def seeds(config: CompareConfig) -> range:
    """The seeds of the triplet trainings."""
    return range(config.seed, config.seed + config.seeds)
