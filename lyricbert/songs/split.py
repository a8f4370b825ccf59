"""Split songs into training and validation, and build the arrays of the store."""

from collections import Counter

import numpy as np

from lyricbert.hashing import derive_key, hash64
from lyricbert.songs.duplicates import first_occurrences, section_keys
from lyricbert.songs.store import TRAIN, VALIDATION
from lyricbert.songs.tokenized import TokenizedSongs


def split_and_flatten(
    corpus: TokenizedSongs, val_fraction: float, seed: int, vocabulary_size: int, dropped: Counter[str]
) -> dict[str, np.ndarray]:
    """Build the arrays of the store.

    Splits the songs, removes validation lines that also occur in training, and marks the first of equal lines and
    sections. `dropped` counts the removed lines.
    """
    songs = len(corpus.song_keys)
    # Songs are ranked by a hash of their content, so reordering files does not change the split.
    # For the same reason nearly every song stays in its split when songs are added.
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
    # Remove sections and songs without lines, and renumber the others.
    sections, line_section = np.unique(line_section[keep], return_inverse=True)
    kept_songs, section_song = np.unique(section_song[sections], return_inverse=True)
    section_offsets = _offsets(np.bincount(line_section))
    return {
        "tokens": tokens.astype(np.uint16 if vocabulary_size <= 2**16 else np.uint32),
        "line_offsets": _offsets(line_lengths[keep]),
        "section_offsets": section_offsets,
        "song_offsets": _offsets(np.bincount(section_song)),
        "song_split": song_split[kept_songs],
        "song_keys": np.array(corpus.song_keys)[kept_songs],
        "line_first": first_occurrences(keys, line_split),
        "section_first": first_occurrences(section_keys(keys, section_offsets), song_split[kept_songs][section_song]),
    }


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def counts(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Counts of each split, and statistics of the lengths of its distinct lines.

    Lengths are in tokens, special tokens not included.
    """
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
