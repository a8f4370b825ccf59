"""Files in the shapes that the versions of lyricsgenius write. The words are made up."""

import json

import pytest
from sources import lines, read, read_and_count

from lyricbert.songs.record import Record

FIRST = "[Verse 1]\nThe kettle hums a weather song\n\n[Chorus]\nHold the lantern, hold it long"
SECOND = "[Intro]\nSaltwater in my shoes again"


def body(number: int, title: str, **more: object) -> dict[str, object]:
    """What genius.com says of a song, with other objects inside, as it is saved."""
    return {
        "_type": "song",
        "id": number,
        "title": title,
        "language": "en",
        "lyrics_state": "complete",
        "album": {"id": 9, "name": "Paper Boats", "artist": {"name": "Somebody Else"}},
        "primary_artist": {"_type": "artist", "id": 7, "name": "Marrow Lane"},
        "primary_tag": {"id": 3, "name": "Rock", "primary": True},
        "featured_artists": [{"name": "A Guest"}],
        "song_relationships": [{"type": "samples", "songs": [{"title": "Another", "primary_artist": {"name": "X"}}]}],
        **more,
    }


def song_1() -> dict[str, object]:
    return {"title": "Kettle", "album": "Paper Boats", "year": "2001-02-03", "lyrics": FIRST, "image": None}


FULL = Record(FIRST, id="11", title="Kettle", artist="Marrow Lane", genre="Rock", language="en")

# Name -> (what a version saves for one song, what is read).
SONGS = {
    "1.0 song": ({"songs": [{**song_1(), "artist": "Marrow Lane", "json": body(11, "Kettle")}], "artist": "X"}, FULL),
    "1.0 artist": ({"songs": [{**song_1(), "artist": "Marrow Lane", "raw": body(11, "Kettle")}], "artist": "X"}, FULL),
    "1.8 song": (
        {"songs": [song_1()], "artist": "Marrow Lane"},
        Record(FIRST, id="saved", title="Kettle", artist="Marrow Lane"),
    ),
    "2.0 song": (body(11, "Kettle", lyrics=FIRST), FULL),
    "2.0 song, not full": (song_1(), Record(FIRST, id="saved", title="Kettle")),
    "2.0 artists": ({"artists": [{"name": "Marrow Lane", "songs": [body(11, "Kettle", lyrics=FIRST)]}]}, FULL),
    "3.0 song": (body(11, "Kettle", lyrics=FIRST, artist="Marrow Lane"), FULL),
    "dumped object": ({"_client": None, "_body": body(11, "Kettle", lyrics=FIRST)}, FULL),
}


@pytest.mark.parametrize("name", SONGS)
def test_a_song_of_each_version(tmp_path, name):
    saved, expected = SONGS[name]
    (tmp_path / "saved.json").write_text(json.dumps(saved, indent=4))
    assert read(tmp_path / "saved.json") == [expected]


@pytest.mark.parametrize("more", [{}, {"artist": "Marrow Lane"}], ids=["2.0", "3.0"])
def test_an_artist(tmp_path, more):
    songs = [body(11, "Kettle", lyrics=FIRST, **more), body(12, "Shoes", lyrics=SECOND, **more)]
    songs.append(body(13, "Interlude", lyrics=None, **more))
    artist = {"_type": "artist", "id": 7, "name": "Marrow Lane", "alternate_names": ["ML"], "songs": songs}
    (tmp_path / "Lyrics_MarrowLane.json").write_text(json.dumps(artist))
    records, dropped = read_and_count(tmp_path / "Lyrics_MarrowLane.json")
    assert [(record.id, record.title, record.artist) for record in records] == [
        ("11", "Kettle", "Marrow Lane"),
        ("12", "Shoes", "Marrow Lane"),
    ]
    assert [record.lyrics for record in records] == [FIRST, SECOND]
    assert dropped == {"songs without lyrics": 1}


@pytest.mark.parametrize("artist", [{"_type": "artist", "name": "Marrow Lane"}, "Marrow Lane"], ids=["3.0", "3.7"])
def test_an_album(tmp_path, artist):
    tracks = [
        {"number": 1, "song": body(11, "Kettle", lyrics=FIRST)},
        body(12, "Shoes", lyrics=SECOND, primary_artist=None),
    ]
    album = {"_type": "album", "id": 9, "name": "Paper Boats", "artist": artist, "tracks": tracks}
    (tmp_path / "album.json").write_text(json.dumps(album))
    assert [(record.id, record.title, record.artist) for record in read(tmp_path / "album.json")] == [
        ("11", "Kettle", "Marrow Lane"),
        ("12", "Shoes", "Marrow Lane"),  # not "Paper Boats", the album's name
    ]


def test_the_name_of_an_album_is_not_an_artist(tmp_path):
    album = {"name": "Paper Boats", "tracks": [{"number": 1, "song": {"title": "Kettle", "lyrics": FIRST}}]}
    (tmp_path / "album.json").write_text(json.dumps(album))
    assert [record.artist for record in read(tmp_path / "album.json")] == [""]


@pytest.mark.parametrize(("kind", "end"), [("Song", "\n"), ("Track", "\n"), ("Song", "\r\n")])
def test_a_text_file_of_an_artist_or_album_is_split_into_its_songs(tmp_path, kind, end):
    text = f"[{kind} 1: Kettle]\n{FIRST}\n\n[{kind} 2: Shoes [Remix]]\n{SECOND}\n[Track record: none]\nlast line"
    (tmp_path / "saved_artist.txt").write_bytes(text.replace("\n", end).encode())
    first, second = read(tmp_path / "saved_artist.txt")
    assert (first.id, first.title) == ("saved_artist#1", "Kettle")
    assert (second.id, second.title) == ("saved_artist#2", "Shoes [Remix]")
    assert lines(first) == [line for line in FIRST.split("\n") if line]
    assert lines(second) == [*SECOND.split("\n"), "[Track record: none]", "last line"]


def test_songs_of_a_text_file_have_the_artist_whose_folder_it_is_in(tmp_path):
    (tmp_path / "Marrow Lane").mkdir()
    (tmp_path / "Marrow Lane/album.txt").write_text(f"[Track 1: Kettle]\n{FIRST}\n\n[Track 2: Shoes]\n{SECOND}")
    assert [record.artist for record in read(tmp_path)] == ["Marrow Lane"] * 2


def test_a_text_file_that_mentions_a_song_later_is_one_song(tmp_path):
    (tmp_path / "Tin Roof.txt").write_text("rain on a tin roof\n[Song 2: not a title]\nrain again")
    (record,) = read(tmp_path / "Tin Roof.txt")
    assert (record.id, record.title, record.artist) == ("Tin Roof", "Tin Roof", "")
    assert len(lines(record)) == 3


@pytest.mark.parametrize(
    ("end", "start"),
    [
        ("\n\n\n\n\n ", ""),  # 1.0
        ("EmbedShare URLCopyEmbedCopy ", "Shoes Lyrics"),  # 3.0
        ("7Embed ", "Shoes Lyrics"),
        ("Embed ", "12 ContributorsShoes Lyrics"),
    ],
)
def test_a_text_file_of_an_artist_of_an_earlier_version(tmp_path, end, start):
    (tmp_path / "Lyrics_MarrowLane.txt").write_text(f"{FIRST}{end}{start}{SECOND}")
    first, second = read(tmp_path / "Lyrics_MarrowLane.txt")
    assert lines(first)[-1].startswith("Hold the lantern, hold it long")
    assert second.lyrics == start + SECOND
    assert (second.id, second.title) == ("Lyrics_MarrowLane#2", "")


def test_a_line_with_a_word_of_genius_pages_does_not_split_a_song(tmp_path):
    text = "Embed the stone, Embed the light\n12 Contributors walk home\n\n\n\n\nand sleep"
    (tmp_path / "a.txt").write_text(text)
    assert len(read(tmp_path / "a.txt")) == 1
