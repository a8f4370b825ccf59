"""JSON that is large, damaged or of unexpected types. lyricsgenius's JSON is in test_genius_files.py."""

import json

import pytest
from sources import read, read_and_count

from lyricbert.errors import UserError
from lyricbert.songs.formats import json_values
from lyricbert.songs.record import Record


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that end inside of every kind of value."""
    monkeypatch.setattr(json_values, "_BLOCK", 7)


VALUES = [{"lyrics": 'é "x"\n'}, [], 12345678901234, -1.5e10, True, None, "a\\b", [[{"a": [1]}]], {}, "long " * 50]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_decoded_item_by_item(tmp_path, small_blocks, indent):
    for value in (VALUES, VALUES[0], [], 5, "text"):
        (tmp_path / "a.json").write_text(f" {json.dumps(value, indent=indent)}\n ")
        with (tmp_path / "a.json").open() as stream:
            assert list(json_values.read_values(stream)) == (value if isinstance(value, list) else [value])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[{"lyrics": "a"},\n\n{"lyrics" "b"}]', "Expecting ':' delimiter, line 3"),
        ('[{"lyrics": "a"}\n\n{"lyrics": "b"}]', "Expecting ',' delimiter, line 3"),
        ('[{"lyrics": "a"},\n{"lyrics": "b"', "line 2"),
        ('[{"lyrics": "a"}]\n[{"lyrics": "b"}]', "Extra data, line 2"),
        ('{"lyrics": "a"}\n{"lyrics": "b"}', "Extra data, line 2.*name it .jsonl"),
        ('[{"lyrics": "a"},\n{"lyrics": "bbbbbbbbbbbbbbbbbbbbbbbbbbbb', "Unterminated string.*line 2"),
        ('[{"lyrics": "a"},\n{"lyrics": "b\\u12"}]', "line 2"),
        ('[{"lyrics": "a"}\n,]', "line 2"),
        ("", "no `lyrics` field"),
        ("[" * 100_000, "not JSON that Python can read"),
    ],
)
def test_an_error_names_the_line(tmp_path, small_blocks, text, complaint):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=complaint):
        read(tmp_path / "a.json")


def test_a_damaged_list_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(json_values, "_BLOCK", 100)
    monkeypatch.setattr(json_values, "_LONGEST_STRING", 1000)
    for start in ('[{"lyrics" 5},\n', '[{"lyrics": "never closed'):
        (tmp_path / "a.json").write_text(start + "x" * 1_000_000)
        with (tmp_path / "a.json").open() as stream:
            with pytest.raises(json_values.JSONError, match="line 1"):
                list(json_values.read_values(stream))
            assert len(stream.read()) > 900_000


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_no_type_of_a_field_is_an_error(tmp_path, name):
    odd = [None, 5, 1.5, float("nan"), True, [], {}, [[["x"]]], {"name": ["x"]}, ["a", {"name": "b"}, ["c"]], 10**4000]
    songs = [dict.fromkeys(("title", "artist", "tag", "language", "id"), value) for value in odd]
    songs = [{**song, "lyrics": "words"} for song in songs] + [{"lyrics": value} for value in odd]
    songs.append({"lyrics": "words", "title": "two\nlines\ud800", "artist": "", "id": 0})
    separator = ",\n" if name == "a.json" else "\n"
    text = separator.join(map(json.dumps, songs))
    (tmp_path / name).write_text(f"[{text}]" if name == "a.json" else text)
    records, dropped = read_and_count(tmp_path / name)
    assert len(records) == len(odd) + 1
    assert dropped == {"songs without lyrics": len(odd)}
    assert [record.title for record in records[:10]] == ["", "5", "1.5", "", "True", "", "", "", "", "a, b"]
    assert records[0] == Record("words", id="a#1")
    assert records[-1] == Record("words", id="0", title="two lines?")


def test_another_field_and_songs_without_it(tmp_path):
    songs = [{"title": "A"}, {"words": "la", "name": "B", "by": "C"}, {"lyrics": "no"}]
    (tmp_path / "a.json").write_text(json.dumps(songs))
    records, dropped = read_and_count(tmp_path / "a.json", text_field="words", title_field="name", artist_field="by")
    assert records == [Record("la", id="a#1", title="B", artist="C")]
    assert dropped == {"songs without lyrics": 2}
    with pytest.raises(UserError, match=r"no `verse` field.*--text-field"):
        read(tmp_path / "a.json", text_field="verse")


def test_a_line_without_lyrics_is_an_error_that_names_the_first(tmp_path):
    for text in (
        '{"lyrics": "a"}\n\n{"text": "b"}\n[]\n',
        '\n\n{"text": "b"}\n{"lyrics": "a"}\n',
        '\n\n{"text": "b"}\n',
    ):
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(UserError, match="line 3 has no `lyrics` field"):
            read(tmp_path / "a.jsonl")
