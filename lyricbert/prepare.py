"""Turn lyrics files into a token store.

    python -m lyricbert.prepare SOURCE... --out DATA

A SOURCE is a file of one of these kinds, or a folder that contains them:

    .txt                     one song; blank lines separate sections
    .lrc                     one song, with time stamps
    .json, .jsonl            songs with a `lyrics` field
    .csv, .tsv, .parquet     one song a row, in a column `lyrics`, `lyric` or `text`

It can also be a file that lyricsgenius wrote, or `-` for standard input. Files can
be compressed, as .gz or .zst. docs/formats.md lists the fields that are read.

The command cleans the lyrics, removes duplicate songs, splits the songs into
training and validation, and tokenizes them. A line that occurs several times is
kept once, as one example. A validation line that also occurs in a training song
is removed. The command prints what it removed and why.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyricbert.config import option, parse
from lyricbert.errors import run_command
from lyricbert.songs.formats.files import TEXT_FORMATS
from lyricbert.songs.formats.options import ReadOptions


@dataclass(frozen=True)
class PrepareConfig:
    """lyrics and token store"""

    sources: tuple[Path, ...] = option(
        "lyrics: .txt, .lrc, .json, .jsonl, .csv, .tsv or .parquet files, folders that contain them, or -",
        metavar="SOURCE",
        advice="Give several to put them into one store.",
    )
    out: Path = option(
        "directory to create for the token store; must not exist",
        advice="Give it to the trainers and to `compare` as `--data`.",
    )
    tokenizer: str = option(
        "tokenizer: a model directory or a Hugging Face hub name",
        "bert-base-uncased",
        advice="Give the model that you will train. The trainers refuse a store with another tokenizer.",
    )
    format: str | None = option(
        "format of standard input, if a SOURCE is -: txt, lrc, json, jsonl, csv or tsv",
        None,
        choices=TEXT_FORMATS,
        advice="Give it with `-`, e.g. `xzcat songs.csv.xz \\| lyricbert prepare - --format csv`.",
    )
    text_field: str = option(
        "column or JSON field with the lyrics (default: lyrics; in a table also lyric and text)",
        "",
        advice="Give it if `prepare` does not find the lyrics.",
    )
    title_field: str = option(
        "column or JSON field with the title (default: names of known data sets)",
        "",
        advice="Give it if the file is of no kind in [formats.md](formats.md).",
    )
    artist_field: str = option(
        "column or JSON field with the artist (default: names of known data sets)",
        "",
        advice="Give it if the file is of no kind in [formats.md](formats.md).",
    )
    language: str = option(
        "code of the only language to keep, where the source has a language; songs without one are kept (default: all)",
        "",
        advice="Give the language of the model, e.g. `en`, for a source in many languages.",
    )
    exclude_tag: tuple[str, ...] = option(
        "genre or tag of songs to leave out, where the source has one (default: none)",
        (),
        advice="May be repeated. Give `misc` for Genius, which has translations and texts that are no songs there.",
    )
    val_fraction: float = option(
        "share of songs held out for validation",
        0.05,
        check="fraction",
        advice="Raise it for a small corpus: more held-out songs give narrower intervals.",
    )
    seed: int = option(
        "random seed of the split into training and validation songs",
        0,
        check="seed",
        advice="Keep it when you add songs, so that nearly all songs stay in their split.",
    )
    max_tokens: int | None = option(
        "maximum length of a line or section in tokens, special tokens included; longer lines are cut, longer sections"
        " split (default: the tokenizer's maximum, at most 512)",
        None,
        check="positive",
        advice="Set it to the maximum length of the model, if that is less.",
    )


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    config = parse(PrepareConfig, __doc__, arguments, prog)
    from lyricbert.songs.preparation import prepare_store  # imports transformers, which --help need not wait for

    options = ReadOptions(
        text_field=config.text_field,
        title_field=config.title_field,
        artist_field=config.artist_field,
        language=config.language,
        exclude_tags=config.exclude_tag,
    )
    meta = prepare_store(
        config.sources,
        config.format,
        options,
        config.out,
        config.tokenizer,
        config.val_fraction,
        config.seed,
        config.max_tokens,
    )
    print(summary(config.out, meta))


def summary(out: Path, meta: dict[str, Any]) -> str:
    """The summary that `prepare` prints: a table with a column per split, then what was removed or changed, and why."""
    train, validation = meta["counts"]["train"], meta["counts"]["validation"]
    rows = [f"{'':<14}{'train':>12}{'validation':>12}"]
    rows += [f"{name.replace('_', ' '):<14}{train[name]:>12,}{validation[name]:>12,}" for name in train]
    rows += ["removed or changed:" if meta["dropped"] else "nothing was removed or changed"]
    rows += [f"  {count:>10,}  {reason}" for reason, count in meta["dropped"].items()]
    return "\n".join([f"token store {out}", *rows])


if __name__ == "__main__":
    run_command(main)
