"""Near-duplicate songs: those that are found, that their cluster stays on one side, and that no held-out line leaks."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from made_shards import VOCABULARY, Song, make_song, write_songs_as_shard
from test_join import join, join_songs, lines_of

from lyricbert.songs.joining.buckets import MOST_SONGS, pairs_in_buckets
from lyricbert.songs.joining.clusters import Clusters
from lyricbert.songs.joining.join import JoinSettings
from lyricbert.songs.joining.near_duplicates import NEAR
from lyricbert.songs.signatures import COMPONENTS, agreement, signatures
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore
from lyricbert.songs.words import line_keys, song_keys, word_hashes

SETTINGS = {name: JoinSettings(0.3, 0, name) for name in ("group", "drop", "keep")}


def upload_again(song: Song, source: random.Random) -> Song:
    """Other accents and punctuation, and one section is missing."""
    return [[line.replace("a", "à").capitalize() + "!" for line in section] for section in song[1:]]


def cover(song: Song, source: random.Random) -> Song:
    """One word is different in each line."""
    return [[_replace_word(line, source) for line in section] for section in song]


def _replace_word(line: str, source: random.Random) -> str:
    words = line.split()
    words[source.randrange(len(words))] = source.choice(VOCABULARY)
    return " ".join(words)


def rebreak(song: Song, source: random.Random) -> Song:
    """The lines end elsewhere."""
    words = [word for section in song for line in section for word in line.split()]
    lines = []
    while words:
        count = source.randint(3, 10)
        lines.append(" ".join(words[:count]))
        words = words[count:]
    return [lines]


def play_live(song: Song, source: random.Random) -> Song:
    """Half of the sections, in another order, and others between them."""
    sections = source.sample(song, len(song) // 2)
    return [section for each in sections for section in (each, *make_song(source, 1))]


def shorten(song: Song, source: random.Random) -> Song:
    """An excerpt of a quarter."""
    return song[: len(song) // 4]


VARIANTS = (upload_again, cover, rebreak, play_live, shorten)


@pytest.fixture(scope="module")
def corpus() -> list[Song]:
    """120 songs, and a variant of every second one."""
    source = random.Random(0)
    songs = [make_song(source, sections=8) for _ in range(120)]
    variants = [VARIANTS[number % len(VARIANTS)](song, source) for number, song in enumerate(songs[::2])]
    return [*songs, *variants]


def neighbours(line: str) -> Iterator[tuple[str, ...]]:
    """Patterns that lines within one word of each other share."""
    words = tuple(line.split())
    yield words
    for place in range(len(words)):
        yield (*words[:place], *words[place + 1 :])
        yield (*words[:place], "*", *words[place + 1 :])


def leaking_share(store: TokenStore) -> float:
    """The share of validation lines that are within one word of a training line."""
    known = {pattern for line in lines_of(store, TRAIN) for pattern in neighbours(line)}
    validation = lines_of(store, VALIDATION)
    return sum(any(pattern in known for pattern in neighbours(line)) for line in validation) / len(validation)


@pytest.mark.parametrize("setting", ["group", "drop"])
def test_held_out_lines_are_not_within_one_word_of_training_lines(tmp_path, corpus, setting):
    assert leaking_share(join_songs(tmp_path / "songs", corpus, SETTINGS[setting])) <= 0.01


def test_the_same_songs_leak_if_near_duplicates_are_kept_apart(tmp_path, corpus):
    assert leaking_share(join_songs(tmp_path / "songs", corpus, SETTINGS["keep"])) > 0.05


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_kind_of_variant_is_in_the_cluster_of_its_song(tmp_path, variant):
    source = random.Random(1)
    songs = [make_song(source, sections=8) for _ in range(40)]
    variants = [variant(song, source) for song in songs]
    store = join_songs(tmp_path / "songs", [*songs, *variants], SETTINGS["group"])
    assert store.meta["near_duplicates"] == {"clusters": 40, "songs": 80, "largest": 2}


def test_unrelated_songs_are_in_no_cluster(tmp_path):
    """Even if they share a line."""
    source = random.Random(2)
    songs = [make_song(source, sections=3) for _ in range(300)]
    for song in songs:
        song[1][1] = songs[0][1][1]
    store = join_songs(tmp_path / "songs", songs, SETTINGS["group"])
    assert store.meta["near_duplicates"]["clusters"] == 0


LETTERS = [("กขคงจชดตทนบปมยรลวสหอ", "าิีุูเแโ"), ("かさたなまらあはやわくすつぬむ", "きしちにみりいひけせてねめれう")]


@pytest.mark.parametrize("letters", LETTERS)
def test_in_scripts_without_spaces_covers_are_near_and_other_songs_are_not(letters):
    """A few letters make all words, so all songs have the same pairs of letters."""
    source = random.Random(4)
    vocabulary = ["".join(source.choice(each) for each in letters * 2) for _ in range(1000)]
    songs = [[source.choices(vocabulary, k=6) for _ in range(16)] for _ in range(10)]
    covers = [[[*line[:3], source.choice(vocabulary), *line[4:]] for line in song] for song in songs]
    hashes, words = word_hashes(["".join(word for line in song for word in line) for song in songs + covers])
    rows = signatures(hashes, words)
    assert agreement(rows, np.arange(10), np.arange(10, 20)).min() >= NEAR
    assert agreement(rows, *np.triu_indices(10, 1)).max() < NEAR


def test_drop_keeps_the_longest_song_with_the_ids_of_the_others(tmp_path):
    source = random.Random(3)
    songs = [make_song(source, sections=8) for _ in range(20)]
    store = join_songs(tmp_path / "songs", [songs[0][1:], *songs, songs[0][:-2], songs[0]], SETTINGS["drop"])
    rows = (store.path / "songs.jsonl").read_text().splitlines()
    assert store.meta["dropped"] == {"duplicate songs": 1, "near-duplicate songs": 2}
    assert len(rows) == 20
    assert [row for row in rows if "duplicates" in row] == [row for row in rows if '"id": "1"' in row]
    assert '"duplicates": ["0", "21", "22"]' in rows[0]


def key_of(song: Song) -> int:
    lines = [line for section in song for line in section]
    return int(song_keys(line_keys(*word_hashes(lines)), np.array([len(lines)]))[0])


def sides(store: TokenStore) -> dict[int, int]:
    return dict(zip(store.song_keys.tolist(), store.song_split.tolist(), strict=True))


def test_clusters_and_split_do_not_depend_on_the_order_of_songs_and_shards(tmp_path, corpus):
    shuffled = random.Random(4).sample(corpus, len(corpus))
    shards = [write_songs_as_shard(tmp_path / f"{start}", shuffled[start : start + 50]) for start in (100, 0, 150, 50)]
    one = join_songs(tmp_path / "one", corpus, SETTINGS["group"])
    other = join(shards, tmp_path / "other", SETTINGS["group"])
    assert one.meta["near_duplicates"] == other.meta["near_duplicates"]
    assert sides(one) == sides(other)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_an_excerpt_is_near_its_song_also_if_a_copy_with_other_line_breaks_comes_first(tmp_path, order):
    source = random.Random(6)
    song, *others = [make_song(source, sections=8) for _ in range(21)]
    versions = [song, rebreak(song, source), [*song[:2], *make_song(source, 2)]]
    store = join_songs(tmp_path / "songs", [*(versions[place] for place in order), *others], SETTINGS["group"])
    assert store.meta["near_duplicates"] == {"clusters": 1, "songs": 3, "largest": 3}


def test_songs_that_are_near_no_added_song_never_move(tmp_path, corpus):
    source = random.Random(5)
    before = sides(join_songs(tmp_path / "0", corpus, SETTINGS["group"]))
    near_added = set()
    for step in range(1, 4):
        song = corpus[2 * step + 1]  # has no variant yet
        near_added.add(key_of(song))
        assert key_of(song) in before
        corpus = [*corpus, *(make_song(source) for _ in range(40)), cover(song, source)]
        after = sides(join_songs(tmp_path / f"{step}", corpus, SETTINGS["group"]))
        assert all(after[key] == side for key, side in before.items() if key not in near_added)
        before = after


def test_songs_in_a_full_bucket_are_not_all_compared():
    """5,000 songs would be 12.5 million pairs. Songs whose signatures agree are among those that are compared."""
    source = np.random.default_rng(0)
    signatures = source.integers(0, 2, (5000, COMPONENTS), np.uint8)
    signatures[1::2] = signatures[::2]
    signatures[1::2, :10] ^= 1
    songs = source.permutation(5000)
    pairs = [
        pair
        for turn in range(5)
        for a, b in pairs_in_buckets(
            np.zeros(5000, np.int64), songs, signatures, np.roll(np.arange(COMPONENTS), -turn * 25)
        )
        for pair in zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), strict=True)
    ]
    assert len(pairs) <= 5 * 5000 * MOST_SONGS
    assert {(song, song + 1) for song in range(0, 5000, 2)} <= set(pairs)


def test_clusters_do_not_depend_on_the_order_of_pairs():
    source = np.random.default_rng(0)
    a, b = source.integers(0, 500, (2, 300))
    one, other = Clusters(500), Clusters(500)
    one.unite(a, b)
    for pair in source.permutation(300):
        other.unite(b[pair : pair + 1], a[pair : pair + 1])
    roots = one.roots(np.arange(500))
    assert np.array_equal(roots, other.roots(np.arange(500)))
    assert np.array_equal(roots[a], roots[b])
    assert len(np.unique(roots)) >= 200
