"""Lyrics in, token store out: python -m lyricbert.prepare SOURCE... --out DATA

Reads .txt (verses apart by blank lines), .json, .jsonl (a `lyrics` field), .csv (a lyrics column) and folders of them.
Cleans, finds duplicate songs and lines, splits training from validation by song, tokenizes, and writes the store.
A line of a validation song that also occurs in a training song is left out of the validation song.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from lyricbert.config import option, parse
from lyricbert.errors import UserError, run_command
from lyricbert.files import new_directory, sha256_of
from lyricbert.hashing import derive_key, hash64
from lyricbert.songs.formats import Song, list_files, read_songs
from lyricbert.songs.store import TRAIN, VALIDATION, write_arrays
from lyricbert.songs.tokenizer import fingerprint, load_tokenizer

_SONGS_AT_ONCE = 256
_CHARACTERS_A_TOKEN = 100
_NOT_WORDS = re.compile(r"\W+")


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


@dataclass
class TokenizedSongs:
    """The corpus as it grows: one entry a line, section or song. Keys are 64-bit digests that find duplicates."""

    tokens: array = field(default_factory=lambda: array("I"))
    line_lengths: array = field(default_factory=lambda: array("q"))
    line_keys: array = field(default_factory=lambda: array("q"))
    section_lines: array = field(default_factory=lambda: array("q"))
    song_sections: array = field(default_factory=lambda: array("q"))
    song_keys: array = field(default_factory=lambda: array("q"))
    known_songs: set[int] = field(default_factory=set)


def main() -> None:
    config = parse(PrepareConfig, __doc__)
    files = list_files(config.sources)
    tokenizer = load_tokenizer(config.tokenizer)
    dropped: Counter = Counter()
    with new_directory(config.out) as directory:
        corpus = tokenize_files(files, tokenizer, _example_limit(config, tokenizer), dropped)
        if len(corpus.song_keys) < 2:
            raise UserError(f"only one song with lyrics in {_named(files)}; validation needs another: add songs")
        arrays = split_and_flatten(corpus, config.val_fraction, config.seed, len(tokenizer), dropped)
        if VALIDATION not in arrays["song_split"]:
            raise UserError(
                f"no validation line is left that does not occur in training; raise --val-fraction or add songs to"
                f" {_named(files)}"
            )
        tokenizer.save_pretrained(directory / "tokenizer")
        meta = {
            "tokenizer": {"name": config.tokenizer, "fingerprint": fingerprint(tokenizer), "size": len(tokenizer)},
            "sources": [{"name": path.name, "sha256": sha256_of(path)} for path in files],
            "seed": config.seed,
            "val_fraction": config.val_fraction,
            "counts": counts(arrays),
            "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        }
        write_arrays(directory, arrays, meta)
    print(summary(config.out, meta))


def _example_limit(config: PrepareConfig, tokenizer: PreTrainedTokenizerFast) -> int:
    limit = config.max_tokens or min(tokenizer.model_max_length, 512)
    if limit < 8:
        raise UserError(f"--max-tokens {limit}: must be 8 or more")
    return limit


def tokenize_files(
    files: list[Path], tokenizer: PreTrainedTokenizerFast, limit: int, dropped: Counter
) -> TokenizedSongs:
    """Read, clean and tokenize every song. Examples have at most `limit` tokens, special tokens included."""
    corpus = TokenizedSongs()
    with tqdm(desc="prepare", unit=" songs", disable=None) as bar:
        songs = (song for path in files for song in read_songs(path, dropped))
        while chunk := list(islice(songs, _SONGS_AT_ONCE)):
            _add_songs(corpus, chunk, tokenizer, limit, dropped)
            bar.update(len(chunk))
    if not corpus.song_keys:
        left_out = "".join(f"; {count} {reason}" for reason, count in dropped.items() if count)
        raise UserError(f"no lyrics in {_named(files)}; check the sources{left_out}")
    return corpus


def _named(files: list[Path]) -> str:
    """The first few of them, for a message."""
    return ", ".join(str(path) for path in files[:3]) + (" ..." if len(files) > 3 else "")


def _add_songs(
    corpus: TokenizedSongs, songs: list[Song], tokenizer: PreTrainedTokenizerFast, limit: int, dropped: Counter
) -> None:
    # A line of megabytes is cut at --max-tokens anyhow; hardly any token stands for this many characters.
    longest = _CHARACTERS_A_TOKEN * limit
    lines = [line[:longest] for song in songs for section in song.sections for line in section]
    # "[SEP]" in a lyric is text, hence the split of special tokens.
    encoded = tokenizer(lines, add_special_tokens=False, split_special_tokens=True, verbose=False)
    token_ids = iter(encoded["input_ids"])
    for song in songs:
        sections = [
            list(_keep_lines(section, islice(token_ids, len(section)), tokenizer, limit, dropped))
            for section in song.sections
        ]
        sections = [section for section in sections if section]
        song_key = derive_key("song", *(key for section in sections for key, _ in section))
        if not sections:
            dropped["songs without words"] += 1
        elif song_key in corpus.known_songs:
            dropped["duplicate songs"] += 1
        else:
            corpus.known_songs.add(song_key)
            _add_song(corpus, song_key, sections, limit, dropped)


def _keep_lines(
    lines: Iterable[str],
    token_ids: Iterable[list[int]],
    tokenizer: PreTrainedTokenizerFast,
    limit: int,
    dropped: Counter,
) -> Iterator[tuple[int, list[int]]]:
    """(key, token ids) of the lines that hold a known word, cut to `limit` less [CLS] and [SEP]."""
    for line, ids in zip(lines, token_ids, strict=True):
        if all(token == tokenizer.unk_token_id for token in ids):
            dropped["lines unknown to the tokenizer"] += 1
            continue
        dropped["lines cut at --max-tokens (kept)"] += len(ids) > limit - 2
        yield line_key(line), ids[: limit - 2]


def line_key(line: str) -> int:
    """A digest that is equal for lines that differ only in case, punctuation and spaces: a signed 64-bit number."""
    words = _NOT_WORDS.sub(" ", line.casefold()).strip()
    return int.from_bytes(blake2b(words.encode(), digest_size=8).digest(), "little", signed=True)


def _add_song(
    corpus: TokenizedSongs, key: int, sections: list[list[tuple[int, list[int]]]], limit: int, dropped: Counter
) -> None:
    corpus.song_keys.append(key)
    corpus.song_sections.append(0)
    for section in sections:
        lines, length = 0, 1  # [CLS]; each line adds its tokens and a [SEP]
        for line, ids in section:
            if length + len(ids) + 1 > limit:
                corpus.section_lines.append(lines)
                corpus.song_sections[-1] += 1
                dropped["sections split at --max-tokens (kept)"] += 1
                lines, length = 0, 1
            lines, length = lines + 1, length + len(ids) + 1
            corpus.line_keys.append(line)
            corpus.line_lengths.append(len(ids))
            corpus.tokens.extend(ids)
        corpus.section_lines.append(lines)
        corpus.song_sections[-1] += 1


def split_and_flatten(
    corpus: TokenizedSongs, val_fraction: float, seed: int, vocabulary_size: int, dropped: Counter
) -> dict[str, np.ndarray]:
    """The store's arrays: songs split, validation lines that occur in training left out, duplicates marked."""
    songs = len(corpus.song_keys)
    # Ranking a hash of the content keeps a song on its side when others are added or files are reordered.
    order = np.argsort(hash64(derive_key("split", seed), np.array(corpus.song_keys, dtype=np.int64)), kind="stable")
    song_split = np.full(songs, TRAIN, dtype=np.uint8)
    song_split[order[: min(songs - 1, max(1, round(songs * val_fraction)))]] = VALIDATION

    keys = np.array(corpus.line_keys, dtype=np.int64)
    line_lengths = np.array(corpus.line_lengths, dtype=np.int64)
    line_section = np.repeat(np.arange(len(corpus.section_lines)), corpus.section_lines)
    section_song = np.repeat(np.arange(songs), corpus.song_sections)
    line_split = song_split[section_song[line_section]]
    keep = (line_split == TRAIN) | ~np.isin(keys, keys[line_split == TRAIN])
    dropped["validation lines that also occur in training"] += int(np.count_nonzero(~keep))

    tokens = np.array(corpus.tokens)[np.repeat(keep, line_lengths)]
    keys, line_split = keys[keep], line_split[keep]
    # Sections and songs that lost every line go; the rest are numbered anew.
    sections, line_section = np.unique(line_section[keep], return_inverse=True)
    songs, section_song = np.unique(section_song[sections], return_inverse=True)
    section_offsets = _offsets(np.bincount(line_section))
    return {
        "tokens": tokens.astype(np.uint16 if vocabulary_size <= 2**16 else np.uint32),
        "line_offsets": _offsets(line_lengths[keep]),
        "section_offsets": section_offsets,
        "song_offsets": _offsets(np.bincount(section_song)),
        "song_split": song_split[songs],
        "line_first": _first_occurrences(keys, line_split),
        "section_first": _first_occurrences(_section_keys(keys, section_offsets), song_split[songs][section_song]),
    }


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _section_keys(line_keys: np.ndarray, section_offsets: np.ndarray) -> np.ndarray:
    """A digest of each section's lines in order."""
    position = np.arange(len(line_keys)) - np.repeat(section_offsets[:-1], np.diff(section_offsets))
    return np.add.reduceat(hash64(line_keys, position), section_offsets[:-1])


def _first_occurrences(keys: np.ndarray, split: np.ndarray) -> np.ndarray:
    """bool: True at the first of equal keys of the same split."""
    first = np.zeros(len(keys), dtype=bool)
    for side in (TRAIN, VALIDATION):
        members = np.flatnonzero(split == side)
        first[members[np.unique(keys[members], return_index=True)[1]]] = True
    return first


def counts(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """What the store holds of each split; lengths in tokens of a unique line, special tokens not counted."""
    section_song = np.repeat(np.arange(len(arrays["song_split"])), np.diff(arrays["song_offsets"]))
    section_split = arrays["song_split"][section_song]
    line_split = np.repeat(section_split, np.diff(arrays["section_offsets"]))
    lengths = np.diff(arrays["line_offsets"])
    result = {}
    for name, side in (("train", TRAIN), ("validation", VALIDATION)):
        unique = lengths[(line_split == side) & arrays["line_first"]]
        result[name] = {
            "songs": int(np.count_nonzero(arrays["song_split"] == side)),
            "sections": int(np.count_nonzero(section_split == side)),
            "lines": int(np.count_nonzero(line_split == side)),
            "unique_lines": len(unique),
            "tokens": int(lengths[line_split == side].sum()),
            "mean_length": round(float(unique.mean()), 2),
            "median_length": float(np.median(unique)),
            "p95_length": float(np.percentile(unique, 95)),
            "max_length": int(unique.max()),
        }
    return result


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
