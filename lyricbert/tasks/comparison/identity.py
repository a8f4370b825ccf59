"""What the results of a comparison depend on, so that results of different comparisons are never mixed."""

from typing import Any

from lyricbert import __version__
from lyricbert.config import flag, to_json
from lyricbert.models.identity import identify_model
from lyricbert.songs.store import TokenStore
from lyricbert.tasks.config import CompareConfig

# Paths say nothing of the content, and `seed` is part of a piece. More seeds add pieces.
_LEFT_OUT = {"data", "base", "adapted", "out", "seed", "seeds"}


def identify(config: CompareConfig, store: TokenStore, precision: str) -> dict[str, Any]:
    """The store, the models and all settings that the result of a piece depends on, as JSON values.

    `precision`: the one that the models run in. Raises `UserError` if a model cannot be read.
    """
    settings = {name: value for name, value in to_json(config).items() if name not in _LEFT_OUT}
    return {
        "version": __version__,
        "data": store.identity,
        "base": identify_model(config.base),
        "adapted": identify_model(config.adapted),
        **settings,
        "precision": precision,
    }


def describe_difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """How the identity `found` differs from `wanted`, in words. None if they are equal."""
    for name in wanted | found:
        old, new = found.get(name), wanted.get(name)
        if old == new:
            continue
        if name in ("base", "adapted"):
            return f"for another {flag(name)} model, or the files of the model have changed"
        if name == "data":
            return "for another store (--data)"
        if name == "version":
            return f"of lyricbert {old}, but this is lyricbert {new}"
        return f"with {flag(name)} {_in_words(old)}, but the command has {flag(name)} {_in_words(new)}"
    return None


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
