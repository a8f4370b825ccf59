import json
from collections import Counter

import pytest

from lyricbert.errors import UserError
from lyricbert.songs.cleaning import clean
from lyricbert.songs.formats import ReadOptions, list_files, read_records


def sections_of(path) -> list:
    (file,) = list_files([path], Counter())
    return [clean(record.lyrics, Counter()).sections for record in read_records(file, ReadOptions(), Counter())]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\ntwo\n\nthree"),
        ("a.json", json.dumps({"title": "t", "lyrics": "one\ntwo\n\nthree"})),
        ("b.json", json.dumps([{"lyrics": "one\ntwo\n\nthree"}])),
        ("artist.json", json.dumps({"name": "n", "songs": [{"title": "t", "lyrics": "one\ntwo\n\nthree"}]})),
        ("album.json", json.dumps({"tracks": [{"number": 1, "song": {"lyrics": "one\ntwo\n\nthree"}}]})),
        ("a.jsonl", json.dumps({"lyrics": "one\ntwo\n\nthree"}) + "\n\n"),
        ("a.csv", 'title,Lyrics\nt,"one\ntwo\n\nthree"\n'),
        ("bom.csv", '\ufefflyrics,tag\n"one\ntwo\n\nthree",pop\n'),
    ],
)
def test_every_file_format_is_read(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert sections_of(tmp_path / name) == [(("one", "two"), ("three",))]


def test_a_folder_stands_for_its_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "cover.png").write_bytes(b"\x89PNG")
    assert [file.path.name for file in list_files([tmp_path], Counter())] == ["a.txt", "b.txt"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("bad.json", b"{", "not JSON"),
        ("no_field.json", b'{"title": "x"}', "no `lyrics` field"),
        ("bad.jsonl", b'{"lyrics": "a"}\n{"lyrics"', "line 2 is not JSON"),
        ("no_field.jsonl", b'{"lyrics": "a"}\n{"text": "b"}\n', "line 2 has no `lyrics` field"),
        ("no_column.csv", b"title,artist\nx,y\n", "no column named"),
        ("latin1.txt", "caf\u00e9".encode("latin1"), "not UTF-8"),
    ],
)
def test_an_error_names_the_bad_file(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        sections_of(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
