"""Lyrics in, token store out: python -m lyricbert.prepare SOURCE... --out DATA

Reads .txt (verses apart by blank lines), .json, .jsonl (a `lyrics` field), .csv (a lyrics column) and folders of them.
Cleans, finds duplicate songs and lines, splits training from validation by song, tokenizes, and writes the store.
A line of a validation song that also occurs in a training song is left out of the validation song.
"""

from dataclasses import dataclass
from pathlib import Path

from lyricbert.config import option, parse
from lyricbert.errors import run_command


@dataclass(frozen=True)
class PrepareConfig:
    """prepare"""

    sources: tuple[Path, ...] = option("lyrics: .txt, .json, .jsonl, .csv files, and folders of them", metavar="SOURCE")
    out: Path = option("the directory to make; must not exist")
    tokenizer: str = option("tokenizer: a model directory or hub name", "bert-base-uncased")
    val_fraction: float = option("share of the songs held out for validation", 0.05, check="fraction")
    seed: int = option("seed of the split", 0, check="seed")
    max_tokens: int | None = option(
        "longest example in tokens, special tokens included; longer lines are cut, longer sections split"
        " (default: what the tokenizer says, at most 512)",
        None,
        check="positive",
    )


def main() -> None:
    config = parse(PrepareConfig, __doc__)
    from lyricbert.songs.preparation import prepare_store  # imports transformers, which --help need not wait for

    meta = prepare_store(
        config.sources, config.out, config.tokenizer, config.val_fraction, config.seed, config.max_tokens
    )
    print(summary(config.out, meta))


def summary(out: Path, meta: dict) -> str:
    """The closing summary as a table: one column a split, then what was dropped and why."""
    train, validation = meta["counts"]["train"], meta["counts"]["validation"]
    rows = [f"{'':<14}{'train':>12}{'validation':>12}"]
    rows += [f"{name.replace('_', ' '):<14}{train[name]:>12,}{validation[name]:>12,}" for name in train]
    rows += ["left out or changed:" if meta["dropped"] else "nothing was left out"]
    rows += [f"  {count:>10,}  {reason}" for reason, count in meta["dropped"].items()]
    return "\n".join([f"token store {out}", *rows])


if __name__ == "__main__":
    run_command(main)
