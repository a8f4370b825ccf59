"""Describe a token store in text."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from lyricbert.songs.show_cleaning import visible
from lyricbert.songs.store import TokenStore, open_store
from lyricbert.songs.verification import verify_store

_BAR = 40  # characters
_FREQUENT_LINES = 10
_LANGUAGES = 10
_SAMPLES = 3
# Lengths of lines in tokens: 1 to 4, 5 to 8, and so on.
_UPPER_LENGTHS = (4, 8, 12, 16, 20, 24, 32, 48, 64, 128, 512)


def describe_store(path: Path) -> str:
    """What is in a store: counts, lengths of lines, languages, frequent lines, samples, and what was removed.

    Raises `UserError` if the store is damaged.
    """
    verify_store(path)
    store = open_store(path)
    tokenizer = Tokenizer.from_file(str(path / "tokenizer" / "tokenizer.json"))
    blocks = [
        [f"token store {path}", *_counts(store.meta)],
        ["lengths of lines, in tokens:", *_histogram(np.diff(store.line_offsets))],
        ["languages:", *_languages(_rows(path))],
        ["most frequent lines:", *_frequent_lines(store, tokenizer)],
        *_sample_sections(store, tokenizer),
        _removed(store.meta),
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def summary(path: Path, meta: dict[str, Any]) -> str:
    """What `prepare` prints of a store: its counts, then what was removed or changed. `meta`: its meta.json."""
    return "\n".join([f"token store {path}", *_counts(meta), *_removed(meta)])


def _counts(meta: dict[str, Any]) -> list[str]:
    """A table with a column for each split."""
    train, validation = meta["counts"]["train"], meta["counts"]["validation"]
    near = meta["near_duplicates"]
    clusters = f"{near['songs']:,} songs in {near['clusters']:,} clusters of up to {near['largest']:,}"
    return [
        f"{'':<14}{'train':>12}{'validation':>12}",
        *(f"{name.replace('_', ' '):<14}{train[name]:>12,}{validation[name]:>12,}" for name in train),
        f"held out: {meta['val_share']:.2%} of the songs (--val-fraction {meta['val_fraction']:.2%})",
        f"near duplicates: {clusters} (--near-duplicates {near['setting']})",
    ]


def _removed(meta: dict[str, Any]) -> list[str]:
    rows = [f"  {count:>10,}  {reason}" for reason, count in meta["dropped"].items()]
    return ["removed or changed:" if rows else "nothing was removed or changed", *rows]


def _histogram(lengths: np.ndarray) -> Iterator[str]:
    lower = np.array([1, *(length + 1 for length in _UPPER_LENGTHS)])
    counts = np.bincount(np.searchsorted(lower, lengths, side="right") - 1, minlength=len(lower))
    names = [f"{low}-{high}" for low, high in zip(lower.tolist(), _UPPER_LENGTHS, strict=False)]
    for name, count in zip([*names, f"more than {_UPPER_LENGTHS[-1]}"], counts.tolist(), strict=True):
        if count:
            yield f"{name:>14}{count:>12,}  {'#' * max(1, round(_BAR * count / counts.max()))}"


def _languages(rows: Iterable[dict[str, Any]]) -> list[str]:
    songs = Counter(row["language"] or "(not named by the source)" for row in rows)
    lines = [f"  {count:>10,}  {visible(language)}" for language, count in songs.most_common(_LANGUAGES)]
    others = songs.total() - sum(count for _, count in songs.most_common(_LANGUAGES))
    return [*lines, *([f"  {others:>10,}  (other languages)"] if others else [])]


def _frequent_lines(store: TokenStore, tokenizer: Tokenizer) -> Iterator[str]:
    _, first, counts = np.unique(store.line_keys, return_index=True, return_counts=True)
    for key in np.lexsort((first, -counts))[:_FREQUENT_LINES].tolist():
        yield f"  {counts[key]:>10,}  {_text(store, tokenizer, int(first[key]))}"


def _sample_sections(store: TokenStore, tokenizer: Tokenizer) -> Iterator[list[str]]:
    """Sections from evenly spaced songs: the first section of each."""
    songs = len(store.song_split)
    chosen = set(range(0, songs, max(1, songs // _SAMPLES))[:_SAMPLES])
    for song, row in enumerate(_rows(store.path)):
        if song in chosen:
            section = int(store.song_offsets[song])
            lines = range(int(store.section_offsets[section]), int(store.section_offsets[section + 1]))
            name = " ".join(filter(None, [row["artist"], f'"{row["title"]}"' if row["title"] else row["id"]]))
            section_name = f" [{row['sections'][0]}]" if row["sections"][0] else ""
            yield [
                f"a section of {visible(name + section_name)}:",
                *(f"  {_text(store, tokenizer, line)}" for line in lines),
            ]


def _text(store: TokenStore, tokenizer: Tokenizer, line: int) -> str:
    """A line as the model sees it: without what the tokenizer removes, such as case."""
    text: str = tokenizer.decode(store.tokens[store.line_offsets[line] : store.line_offsets[line + 1]].tolist())
    return text


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with (path / "songs.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
