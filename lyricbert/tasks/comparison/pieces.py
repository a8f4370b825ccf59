"""The pieces of work of a comparison. Each can be measured alone, by any process."""

from dataclasses import dataclass

from lyricbert.tasks.config import CompareConfig

SIDES = ("base", "adapted")


@dataclass(frozen=True)
class Piece:
    """The measurements of one side, "base" or "adapted".

    `seed`: seed of a triplet training; the held-out triplets are evaluated after it. None: no training; the MLM figures
    and the held-out triplets of the model are evaluated.
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
