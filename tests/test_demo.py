"""The embedded corpus: its size, its variety and the format of every song."""

import re
from collections import Counter, namedtuple
from pathlib import Path

import pytest

from lyricbert.songs.cleaning import clean
from lyricbert.songs.formats import ReadOptions, list_files, read_records

Song = namedtuple("Song", "title artist sections")
SONGS = Path(__file__).parent.parent / "lyricbert" / "demo" / "songs"
HEADER = re.compile(r"^\[[A-Z][A-Za-z0-9 -]*\]$")


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    dropped = Counter()
    files = list_files([SONGS], dropped)
    records = [record for file in files for record in read_records(file, ReadOptions(), dropped)]
    read = [Song(record.title, record.artist, clean(record.lyrics, dropped).sections) for record in records]
    assert set(+dropped) == {"section headers"}  # nothing else needed cleaning
    return read


def lines_of(song: Song) -> list[str]:
    return [line for section in song.sections for line in section]


def test_there_are_enough_songs_and_lines(songs):
    assert len(songs) >= 120
    assert 2_400 <= sum(len(lines_of(song)) for song in songs) <= 2_800
    assert len({song.title for song in songs}) == len(songs)
    assert len({song.artist for song in songs}) >= 20


def test_at_least_nine_lines_of_ten_are_unique(songs):
    lines = [re.sub(r"\W+", " ", line.lower()).strip() for song in songs for line in lines_of(song)]
    occurring_once = sum(times == 1 for times in Counter(lines).values())
    assert occurring_once / len(lines) >= 0.9


def test_songs_share_few_phrases_and_use_many_words(songs):
    """Less than 1 % of all four-word phrases occur in two songs, so the songs do not come from a template."""
    songs_of_run, words = Counter(), set()
    for song in songs:
        tokens = re.findall(r"\w+(?:'\w+)?", " ".join(lines_of(song)).lower())
        words.update(tokens)
        songs_of_run.update({tuple(tokens[at : at + 4]) for at in range(len(tokens) - 3)})
    shared = sum(count > 1 for count in songs_of_run.values())
    assert shared / len(songs_of_run) < 0.01
    assert len(words) > 3_000


def test_every_song_has_14_to_30_lines_in_sections(songs):
    for song in songs:
        assert 14 <= len(lines_of(song)) <= 30, song.title
        assert len(song.sections) >= 3, song.title
        assert all(line.isprintable() and len(line) <= 120 for line in lines_of(song)), song.title


def test_every_section_begins_with_a_header():
    for path in SONGS.rglob("*.txt"):
        for section in path.read_text(encoding="utf-8").removesuffix("\n").split("\n\n"):
            header, *lines = section.split("\n")
            assert HEADER.match(header), (path, header)
            assert lines and all(line and line == line.strip() and line[0] != "[" for line in lines), (path, header)
