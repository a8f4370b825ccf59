"""Turn lyrics files into a token store.

    python -m lyricbert.prepare SOURCE... --out DATA
    python -m lyricbert.prepare --join STORE... --out DATA   one store of several
    python -m lyricbert.prepare --describe DATA              what is in a store
    python -m lyricbert.prepare --verify DATA                finds damaged files

A SOURCE is a file of one of these kinds, or a folder that contains them:

    .txt                     one song; blank lines separate sections
    .lrc                     one song, with time stamps
    .json, .jsonl            songs with a `lyrics` field
    .csv, .tsv, .parquet     one song a row, in a column `lyrics`, `lyric` or `text`

It can also be a file that lyricsgenius wrote, or `-` for standard input. Files can
be compressed, as .gz or .zst. docs/formats.md lists the fields that are read.

The command cleans the lyrics, removes duplicate songs, splits the songs into
training and validation, and tokenizes them. If a line occurs several times, MLM
training uses it once. A validation line is removed if a training line has the
same words or the same tokens. The command prints what it removed and why.

The command works in several processes. If it is interrupted, run it again: it
continues from what is finished. That is in a hidden directory beside DATA, for
example data/.store.shards for data/store.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from lyricbert.config import flag, option, parse
from lyricbert.errors import UserError, run_command
from lyricbert.songs.formats.files import TEXT_FORMATS


@dataclass(frozen=True)
class PrepareConfig:
    """lyrics and token store"""

    sources: tuple[Path, ...] = option(
        "lyrics: .txt, .lrc, .json, .jsonl, .csv, .tsv or .parquet files, folders that contain them, or -; with --join,"
        " --describe or --verify, token stores",
        metavar="SOURCE",
        advice="Give several to put them into one store.",
    )
    out: Path | None = option(
        "directory to create for the token store; must not exist",
        None,
        advice="Required, except with `--show-cleaning`, `--ranges`, `--describe` and `--verify`, which refuse it. Give"
        " it to the trainers and to `compare` as `--data`.",
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
        "genre or tag of songs to leave out, where the source has one; may be repeated (default: none)",
        (),
        advice="Give `misc` for Genius: there, it is the tag of translations and of texts that are not songs.",
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
        advice="Keep it when you add songs, so that songs stay in their split.",
    )
    near_duplicates: str = option(
        "what to do with songs that share much of their text, such as covers: group puts them on the same side of the"
        " split, drop keeps only the one with the most lines, keep does not look for them",
        "group",
        choices=("group", "drop", "keep"),
        advice="Give `drop` if the same songs come from several sources. With `keep`, validation lines may be nearly"
        " equal to training lines.",
    )
    max_tokens: int | None = option(
        "maximum length of a line or section in tokens, special tokens included; the rest of a longer line is"
        " removed, a longer section is divided (default: the tokenizer's maximum, at most 512)",
        None,
        check="positive",
        advice="Set it to the maximum length of the model, if that is less.",
    )
    workers: int | None = option(
        "number of processes that clean and tokenize songs (default: the number of CPUs of this process, at most 32)",
        None,
        check="positive",
        advice="Lower it to use less memory, about 100 MB a process. The store is the same for any number.",
    )
    join: bool = option(
        "join token stores, or parts made with --rows, into one store; give them as SOURCE",
        False,
        advice="The songs are split anew. All must have the same tokenizer, `--max-tokens` and version of lyricbert.",
    )
    rows: str | None = option(
        "range of songs to read, counted from 0 over all sources; A:B reads songs A to B - 1, and A: reads from song A"
        " to the end; makes a part, for --join",
        None,
        advice="Use it for jobs on several machines. Give each job one of the ranges that `--ranges` prints, and"
        " another `--out`. `launch/prepare.sh` does this.",
    )
    ranges: int | None = option(
        "number of ranges of songs to print, one on each line, for --rows; makes no store",
        None,
        check="positive",
        advice="Give each of the lines to a job, as `--rows`.",
    )
    show_cleaning: int | None = option(
        "number of songs for which to show what cleaning changes; makes no store",
        None,
        check="positive",
        advice="Look at a sample of new lyrics before you prepare them. [cleaning.md](cleaning.md) explains the rules.",
    )
    describe: bool = option(
        "print counts, lengths of lines, languages, frequent lines and samples of a token store",
        False,
        advice="Look at a new store before you train on it.",
    )
    verify: bool = option(
        "compare the files of a token store with their checksums",
        False,
        advice="Do this after a copy to another machine. The exit status is 2 if a file is damaged.",
    )


# What each of these flags may be combined with.
_READ = ("sources", "format", "text_field", "title_field", "artist_field", "language", "exclude_tag")
_MAKE_SHARDS = (*_READ, "tokenizer", "max_tokens", "workers")
_ALLOWED = {
    "show_cleaning": _READ,
    "rows": (*_MAKE_SHARDS, "out"),
    "ranges": _MAKE_SHARDS,
    "join": ("sources", "out", "val_fraction", "seed", "near_duplicates"),
    "describe": ("sources",),
    "verify": ("sources",),
}


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    config = parse(PrepareConfig, __doc__, arguments, prog)
    check_combination(config)
    if config.describe:
        print(describe(config.sources))
    elif config.verify:
        print(verify(config.sources))
    else:
        print(prepare(config))


def check_combination(config: PrepareConfig) -> None:
    """Raise `UserError` if flags exclude each other."""
    given = [field.name for field in dataclasses.fields(config) if getattr(config, field.name) != field.default]
    for mode in (name for name in given if name in _ALLOWED):
        for name in given:
            if name != mode and name not in _ALLOWED[mode]:
                raise UserError(f"{flag(name)} cannot be combined with {flag(mode)}; leave one of them out")
    makes_nothing = {"show_cleaning", "ranges", "describe", "verify"} & set(given)
    if config.out is None and not makes_nothing:
        raise UserError("--out: missing; give the directory to create")
    if (config.describe or config.verify) and len(config.sources) > 1:
        raise UserError(f"--describe and --verify take one token store, not {len(config.sources)}; give one")


# The modules below take a moment to import, which --help need not wait for.


def describe(sources: tuple[Path, ...]) -> str:
    from lyricbert.songs.description import describe_store

    return describe_store(sources[0])


def verify(sources: tuple[Path, ...]) -> str:
    from lyricbert.songs.verification import verify_store

    return f"{sources[0]}: intact, {verify_store(sources[0])} files"


def prepare(config: PrepareConfig) -> str:
    """Do what a command with lyrics or --join does. Returns what it prints."""
    from lyricbert.songs import preparation
    from lyricbert.songs.description import summary
    from lyricbert.songs.formats import ReadOptions
    from lyricbert.songs.joining.join import JoinSettings
    from lyricbert.songs.sharding.cutting import parse_rows
    from lyricbert.songs.sharding.shard_making import Lyrics, ShardSettings

    options = ReadOptions(
        text_field=config.text_field,
        title_field=config.title_field,
        artist_field=config.artist_field,
        language=config.language,
        exclude_tags=config.exclude_tag,
    )
    lyrics = Lyrics(config.sources, config.format, options)
    if config.show_cleaning is not None:
        return preparation.show_sample(lyrics, config.show_cleaning)
    if config.ranges is not None:
        return "\n".join(map(str, preparation.list_ranges(lyrics, config.ranges)))
    assert config.out is not None
    rows = None if config.rows is None else parse_rows(config.rows)
    shards = ShardSettings(lyrics, config.tokenizer, config.max_tokens, rows)
    workers = config.workers or min(len(os.sched_getaffinity(0)), 32)
    if rows is not None:
        return f"part {config.out}: {preparation.prepare_part(shards, config.out, workers)} shards"
    join = JoinSettings(config.val_fraction, config.seed, config.near_duplicates)
    if config.join:
        return summary(config.out, preparation.join_stores(config.sources, join, config.out))
    return summary(config.out, preparation.prepare_store(shards, join, config.out, workers))


if __name__ == "__main__":
    run_command(main)
