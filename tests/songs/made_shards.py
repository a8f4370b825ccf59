"""Made-up songs with many different words, and shards of them."""

import random
import unicodedata
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np

from lyricbert.songs.groups import sequence_keys
from lyricbert.songs.sharding.shard import write_shard
from lyricbert.songs.signatures import signatures
from lyricbert.songs.words import line_keys, song_keys, word_hashes

Song = list[list[str]]  # sections of lines

VOCABULARY = [
    "".join(syllables) for syllables in product(("ba", "ko", "ri", "su", "te", "mo", "la", "ni", "fe", "du"), repeat=3)
]


def make_song(source: random.Random, sections: int = 4) -> Song:
    """A song of sections of four lines of five to eight words."""
    return [[" ".join(source.choices(VOCABULARY, k=source.randint(5, 8))) for _ in range(4)] for _ in range(sections)]


def token_ids(line: str) -> list[int]:
    """One id a word. Words that differ in accents only have the same id, as with an uncased tokenizer."""
    letters = "".join(each for each in unicodedata.normalize("NFD", line) if unicodedata.category(each) != "Mn")
    return [VOCABULARY.index(word.strip(",!")) + 1 for word in letters.lower().split()]


def write_songs_as_shard(path: Path, songs: list[Song], first_id: int = 0) -> Path:
    """Write the shard that `prepare` would make of the songs. The ids of the songs count from `first_id`."""
    lines = [line for song in songs for section in song for line in section]
    hashes, words = word_hashes(lines)
    ids = [np.array(token_ids(line), np.uint16) for line in lines]
    lengths = np.array([len(each) for each in ids])
    song_lines = np.array([sum(map(len, song)) for song in songs])
    keys, tokens = line_keys(hashes, words), np.concatenate(ids)
    song_words = np.add.reduceat(words, np.cumsum(song_lines) - song_lines)
    arrays = {
        "tokens": tokens,
        "line_lengths": lengths,
        "line_keys": keys,
        "token_keys": sequence_keys(tokens, lengths),
        "section_lines": np.array([len(section) for song in songs for section in song]),
        "song_sections": np.array([len(song) for song in songs]),
        "song_keys": song_keys(keys, song_lines),
        "signatures": signatures(hashes, song_words),
    }
    rows = [
        {"id": str(first_id + number), "sections": [str(section) for section in range(len(song))]}
        for number, song in enumerate(songs)
    ]
    write_shard(path, arrays, rows, [{"name": path.name, "sha256": ""}], Counter())
    return path
