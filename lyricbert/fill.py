"""Predict the masked words of a line with one or more models side by side.

    python -m lyricbert.fill "lipstick stains on my [MASK]" --gold sheets \\
        --model RUN/model --model bert-base-uncased
    python -m lyricbert.fill "lipstick stains on my sheets" --mask-each \\
        --model RUN/model
"""

import json
import re
import sys
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from lyricbert.config import option, parse
from lyricbert.errors import UserError, run_command

_COLUMN = 34


@dataclass(frozen=True)
class FillConfig:
    """text and models"""

    text: str = option(
        "line with one [MASK]; with --mask-each, a line without [MASK]",
        metavar="TEXT",
        advice="Put it in quotes, so that the shell passes it as one argument.",
    )
    model: tuple[str, ...] = option(
        "masked language model: a directory or a Hugging Face hub name; may be repeated",
        advice="Repeat it to compare models: each gets a column.",
    )
    gold: str | None = option(
        "original word at [MASK]; its rank and probability are printed for each model",
        None,
        advice="It must be a single token of each model's vocabulary. Cannot be combined with `--mask-each`.",
    )
    top: int = option(
        "number of predictions to print for [MASK]",
        10,
        check="positive",
        advice="`--mask-each` ignores it and prints three for each word.",
    )
    mask_each: bool = option(
        "mask each word of the line in turn; print its rank, its probability and the best predictions",
        False,
        advice="Use it to see which words of a line a model finds likely.",
    )
    json: bool = option("print JSON instead of tables", False, advice="Use it in scripts.")


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    config = parse(FillConfig, __doc__, arguments, prog)
    if config.mask_each and config.gold is not None:
        raise UserError("--gold and --mask-each: give only one of them")
    if re.search(r"[\ud800-\udfff]", config.text):
        raise UserError("the text is not UTF-8; check the terminal's encoding")
    from lyricbert.evaluation.fill_in import fill_each, fill_one, load_filler  # imports torch: not before --help

    fillers = [load_filler(name) for name in config.model]
    for filler in fillers:
        if not filler.has_head:
            print(
                f"{filler.name} has no MLM head. Its predictions come from a randomly initialised head.",
                file=sys.stderr,
            )
    if config.mask_each:
        result = fill_each(config.text, fillers)
        shown = format_each(result)
    else:
        result = fill_one(config.text, fillers, config.gold, config.top)
        shown = format_one(result)
    print(json.dumps(result, indent=2) if config.json else shown)


def format_one(result: dict[str, Any]) -> str:
    """Format the result of `fill_one` as a table: one row per rank, one column per model."""
    models = result["models"]
    lines = [
        result["text"],
        "     " + "".join(_cell(_tail(model["model"])) for model in models),
        "rank " + _cell("token  probability") * len(models),
    ]
    # The column of a model with fewer than --top tokens in its vocabulary ends early.
    for rank, row in enumerate(zip_longest(*(model["predictions"] for model in models)), start=1):
        cells = ("" if p is None else f"{p['token']}  {p['probability']:.4f}" for p in row)
        lines.append(f"{rank:>4} " + "".join(_cell(cell) for cell in cells))
    if "gold" in result:
        lines.append(f"original word, {result['gold']}:")
        cells = (_cell(f"rank {m['gold']['rank']}  {m['gold']['probability']:.4f}") for m in models)
        lines.append("     " + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def format_each(result: dict[str, Any]) -> str:
    """Format the result of `fill_each` as a table: one row per word, one column per model.

    A cell holds the rank and the probability of the word, then the model's best predictions.
    """
    names = result["models"]
    lines = [
        result["text"],
        " " * 16 + "".join(_cell(_tail(name)) for name in names),
        f"{'word':<16}" + _cell(" rank prob.  top 3 predictions") * len(names),
    ]
    for word in result["words"]:
        cells = (
            _why_not_ranked(pieces)
            if entry is None
            else f"{entry['rank']:>5} {entry['probability']:.3f}  {' '.join(p['token'] for p in entry['predictions'])}"
            for pieces, entry in zip(word["pieces_by_model"], word["models"], strict=True)
        )
        lines.append(f"{word['word']:<16}" + "".join(_cell(cell) for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _why_not_ranked(pieces: int) -> str:
    return "not in the vocabulary" if pieces == 1 else f"{pieces} pieces, not ranked"


def _cell(text: str) -> str:
    return f"{text:<{_COLUMN}}  "


def _tail(name: str) -> str:
    return name if len(name) <= _COLUMN else "..." + name[3 - _COLUMN :]


if __name__ == "__main__":
    run_command(main)
