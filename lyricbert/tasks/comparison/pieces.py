"""The pieces of work of a comparison. Each can be measured alone, by any process."""

from dataclasses import dataclass

from lyricbert.tasks.config import CompareConfig

SIDES = ("base", "adapted")


@dataclass(frozen=True)
class Piece:
    """The measurements of one side, "base" or "adapted".

    `seed`: that of a triplet training and its held-out triplets afterwards. None: of the evaluation of the model as it
    is, that is, its MLM figures and its held-out triplets without triplet training.
    """

    side: str
    seed: int | None = None

    @property
    def name(self) -> str:
        return f"{self.side}-untrained" if self.seed is None else f"{self.side}-seed-{self.seed}"


def pieces(config: CompareConfig) -> list[Piece]:
    """All pieces that the report of `config` needs: the two evaluations, then two trainings for each seed."""
    return [*map(Piece, SIDES), *(Piece(side, seed) for seed in seeds(config) for side in SIDES)]


def seeds(config: CompareConfig) -> range:
    """The seeds of the triplet trainings."""
    return range(config.seed, config.seed + config.seeds)
