"""What the results of a comparison depend on, so that results of different comparisons are never mixed."""

from dataclasses import dataclass
from typing import Any

from lyricbert import __version__
from lyricbert.config import flag, to_json
from lyricbert.models.identity import identify_model
from lyricbert.models.loading import count_positions
from lyricbert.songs.store import TokenStore
from lyricbert.tasks.comparison.pieces import Piece, model_of
from lyricbert.tasks.config import CompareConfig

# Paths say nothing of the content, and `seed` is part of a piece. More seeds add pieces. The verdict needs no result of
# its own.
_LEFT_OUT = {"data", "base", "adapted", "out", "seed", "seeds", "smallest_difference"}


@dataclass(frozen=True)
class Identity:
    """`shared`: the store and all settings that every result depends on, as JSON values.

    `models`: the identities of the models of each side, see `identify_model`. A result depends on one of them, so more
    models add results.
    """

    shared: dict[str, Any]
    models: dict[str, list[str]]

    def of_piece(self, piece: Piece) -> dict[str, Any]:
        """What the result of a piece depends on."""
        return {**self.shared, "model": self.models[piece.side][piece.model]}

    def describe_difference(self, name: str, found: dict[str, Any]) -> str | None:
        """How `found`, what the stored result `name` depends on, differs from this comparison, in words.

        None if the comparison can use the result, or if it is that of a further model.
        """
        of = model_of(name)
        if of is None:
            return "of another version of lyricbert"
        side, model = of
        models = self.models[side]
        wanted = {**self.shared, "model": models[model] if model < len(models) else found.get("model")}
        return _describe_difference(found, wanted, side)


def identify(config: CompareConfig, store: TokenStore, precision: str) -> Identity:
    """The identity of a comparison. `precision`: the one that the models run in.

    Raises `UserError` if a model cannot be read.
    """
    settings = {name: value for name, value in to_json(config).items() if name not in _LEFT_OUT}
    shared = {
        "version": __version__,
        "data": store.identity,
        "positions": min(count_positions(name) for names in config.models.values() for name in names),
        **settings,
        "precision": precision,
    }
    return Identity(shared, {side: [identify_model(name) for name in names] for side, names in config.models.items()})


def _describe_difference(found: dict[str, Any], wanted: dict[str, Any], side: str) -> str | None:
    """How `found`, what a result of `side` depends on, differs from `wanted`, in words. None if they are equal."""
    for name in wanted | found:
        old, new = found.get(name), wanted.get(name)
        if old == new:
            continue
        if name == "model":
            return f"for another {flag(side)} model, or the files of the model have changed"
        if name == "data":
            return "for another store (--data)"
        if name == "version":
            return f"of lyricbert {old}, but this is lyricbert {new}"
        if name == "positions":
            return f"for models of {old} positions, but the shortest model of the command has {new}"
        return f"with {flag(name)} {_in_words(old)}, but the command has {flag(name)} {_in_words(new)}"
    return None


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
