import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_shards import VOCABULARY, Song, make_song, write_songs_as_shard

from lyricbert.songs.joining import duplicates, song_blocks
from lyricbert.songs.joining.counts import SplitCounts
from lyricbert.songs.joining.join import JoinSettings, UnsuitableSongs, join_shards
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore, open_store, write_meta

GROUP = JoinSettings(val_fraction=0.3, seed=0)


def join(shards: list[Path], directory: Path, settings: JoinSettings = GROUP) -> TokenStore:
    directory.mkdir()
    joined = join_shards(shards, directory, settings, Counter())
    write_meta(directory, {"tokenizer": {"name": "", "fingerprint": ""}, **joined})
    return open_store(directory)


def join_songs(directory: Path, songs: list[Song], settings: JoinSettings = GROUP) -> TokenStore:
    directory.mkdir(parents=True)
    return join([write_songs_as_shard(directory / "shard", songs)], directory / "store", settings)


def lines_of(store: TokenStore, split: int) -> set[str]:
    """The lines of one split, without accents and punctuation."""
    ids = np.split(store.tokens, store.line_offsets[1:-1])
    held_out = store.song_split[store.song_of_line()]
    return {
        " ".join(VOCABULARY[i - 1] for i in line) for line, side in zip(ids, held_out, strict=True) if side == split
    }


@pytest.fixture
def songs() -> list[Song]:
    source = random.Random(0)
    songs = [make_song(source, sections=source.randint(1, 6)) for _ in range(80)]
    for song in songs[::4]:
        song[0][0] = songs[0][0][0]  # a line that many songs share
    return [*songs, songs[3], songs[5]]


def test_shards_in_small_blocks_give_the_store_of_one_shard(tmp_path, songs, monkeypatch):
    whole = join_songs(tmp_path / "whole", songs)
    shards = [
        write_songs_as_shard(tmp_path / f"shard{number}", part, first_id)
        for number, (first_id, part) in enumerate([(0, songs[:11]), (11, songs[11:12]), (12, songs[12:])])
    ]
    monkeypatch.setattr(song_blocks, "LINES_OF_BLOCK", 40)
    monkeypatch.setattr(duplicates, "_KEYS_AT_ONCE", 100)
    parts = join(shards, tmp_path / "parts")
    assert parts.meta["arrays"] == whole.meta["arrays"]
    assert parts.meta["counts"] == whole.meta["counts"]
    assert (parts.path / "songs.jsonl").read_bytes() == (whole.path / "songs.jsonl").read_bytes()
    assert len((parts.path / "sources.jsonl").read_text().splitlines()) == 3


def test_no_validation_line_occurs_in_training_and_first_lines_are_marked(tmp_path, songs):
    store = join_songs(tmp_path / "songs", songs)
    train, validation = lines_of(store, TRAIN), lines_of(store, VALIDATION)
    assert train
    assert validation
    assert not train & validation
    assert store.meta["dropped"]["validation lines that also occur in training"] >= 1
    assert store.meta["dropped"]["duplicate songs"] == 2
    assert np.count_nonzero(store.line_first) == len(train) + len(validation)
    assert len(np.unique(store.song_keys)) == len(store.song_keys) == 80
    assert store.meta["counts"]["train"]["unique_lines"] == len(train)


def test_lengths_are_counted_as_by_numpy(tmp_path, songs):
    store = join_songs(tmp_path / "songs", songs)
    lengths, split = np.diff(store.line_offsets), store.song_split[store.song_of_line()]
    for name, side in (("train", TRAIN), ("validation", VALIDATION)):
        unique, counts = lengths[(split == side) & store.line_first], store.meta["counts"][name]
        assert counts["mean_length"] == round(float(unique.mean()), 2)
        assert counts["median_length"] == np.median(unique)
        assert counts["p95_length"] == round(float(np.percentile(unique, 95)), 2)
        assert counts["max_length"] == unique.max()
        assert counts["tokens"] == lengths[split == side].sum()


def test_lengths_are_rounded():
    counts = SplitCounts()
    counts.add_lengths(np.array([9] * 7 + [10]))
    assert counts.as_dict()["p95_length"] == 9.65  # not 9.649999999999999


def test_lines_with_the_same_tokens_do_not_leak(tmp_path):
    """Line keys tell Hindi vowel signs apart, an uncased tokenizer does not."""
    source = random.Random(1)
    songs = [make_song(source) for _ in range(40)]
    with_marks = [[[line.replace("a", "a\u0947") for line in section] for section in song] for song in songs]
    store = join_songs(tmp_path / "songs", [*songs, *with_marks], JoinSettings(0.3, 0, "keep"))
    assert store.meta["near_duplicates"]["clusters"] == 0
    assert not lines_of(store, TRAIN) & lines_of(store, VALIDATION)
    assert store.meta["dropped"]["validation lines that also occur in training"] > 100


def test_lines_with_the_same_words_do_not_leak(tmp_path):
    """A cased tokenizer gives "Night moon" and "night moon" different tokens."""
    source = random.Random(7)
    songs = [make_song(source) for _ in range(40)]
    shard = write_songs_as_shard(tmp_path / "shard", [song[::order] for song in songs for order in (1, -1)])
    np.save(shard / "token_keys.npy", np.arange(len(np.load(shard / "token_keys.npy"))))
    store = join([shard], tmp_path / "store", JoinSettings(0.3, 0, "keep"))
    assert not lines_of(store, TRAIN) & lines_of(store, VALIDATION)
    assert store.meta["dropped"]["validation lines that also occur in training"] > 100


def test_rows_and_duplicates_follow_the_songs(tmp_path, songs):
    store = join_songs(tmp_path / "songs", songs)
    rows = [json.loads(line) for line in (store.path / "songs.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [str(number) for number in range(80)]
    assert {row["id"]: row["duplicates"] for row in rows if "duplicates" in row} == {"3": ["80"], "5": ["81"]}
    assert [len(row["sections"]) for row in rows] == np.diff(store.song_offsets).tolist()


def test_finished_stores_are_joined(tmp_path):
    source = random.Random(2)
    songs = [make_song(source) for _ in range(60)]
    parts = [join_songs(tmp_path / "a", songs[:25]), join_songs(tmp_path / "b", songs[25:], JoinSettings(0.3, 5))]
    assert [part.meta["dropped"] for part in parts] == [{}, {}]
    joined = join([part.path for part in parts], tmp_path / "joined")
    whole = join_songs(tmp_path / "whole", songs)
    assert joined.identity == whole.identity
    assert joined.meta["counts"] == whole.meta["counts"]
    np.testing.assert_array_equal(joined.song_keys, whole.song_keys)
    np.testing.assert_array_equal(joined.signatures, whole.signatures)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_equal_songs_of_two_stores_the_one_that_has_all_lines_is_kept(tmp_path, order):
    source = random.Random(3)
    songs = [make_song(source) for _ in range(80)]
    for song in songs[:40]:
        song[0] = songs[0][0]  # so that all held-out songs but those of the second store lack it
    stores = [join_songs(tmp_path / "short", songs[:40]), join_songs(tmp_path / "whole", [songs[5], *songs[40:]])]
    assert stores[0].song_split[5] == VALIDATION
    joined = join([stores[place].path for place in order], tmp_path / "joined", JoinSettings(0.3, 1))
    place = joined.song_keys.tolist().index(stores[0].song_keys[5])
    assert joined.song_split[place] == TRAIN
    assert np.count_nonzero(joined.song_of_line() == place) == 16


def test_lines_unknown_to_the_tokenizer_are_dropped_with_their_sections(tmp_path):
    source = random.Random(3)
    songs = [make_song(source, sections=2) for _ in range(20)]
    shard = write_songs_as_shard(tmp_path / "shard", songs)
    lengths = np.load(shard / "line_lengths.npy")
    tokens = np.split(np.load(shard / "tokens.npy"), np.cumsum(lengths)[:-1])
    unknown = np.arange(len(lengths)) < 12  # the first song, and the first section of the second
    np.save(shard / "line_lengths.npy", np.where(unknown, 0, lengths).astype(np.int32))
    np.save(shard / "tokens.npy", np.concatenate([ids for ids, gone in zip(tokens, unknown, strict=True) if not gone]))
    store = join([shard], tmp_path / "store")
    assert store.meta["dropped"] == {"lines unknown to the tokenizer": 12, "songs of which no line is left": 1}
    rows = [json.loads(line) for line in (store.path / "songs.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [str(number) for number in range(1, 20)]
    assert rows[0]["sections"] == ["1"]


@pytest.mark.parametrize(
    ("count", "fraction", "complaint"),
    [(1, 0.3, "only one song"), (3, 0.001, "none of the 3 songs"), (3, 0.999, "each of the 3 songs")],
)
def test_a_split_that_would_be_empty_is_refused(tmp_path, count, fraction, complaint):
    source = random.Random(4)
    with pytest.raises(UnsuitableSongs, match=complaint):
        join_songs(tmp_path / "songs", [make_song(source) for _ in range(count)], JoinSettings(fraction, 0))


@pytest.mark.parametrize(
    ("near_duplicates", "complaint"),
    [
        ("group", "all 4 songs are near duplicates, .* add other songs or give --near-duplicates keep"),
        ("drop", r"only one song with lyrics; .*\(removed: 3 near-duplicate songs\)"),
    ],
)
def test_versions_of_a_single_song_are_refused(tmp_path, near_duplicates, complaint):
    song = make_song(random.Random(5))
    versions = [song, song[1:], song[2:], song[::-1]]
    with pytest.raises(UnsuitableSongs, match=complaint):
        join_songs(tmp_path / "songs", versions, JoinSettings(0.3, 0, near_duplicates))
