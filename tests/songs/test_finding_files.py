"""Which files of a folder are read, and what is said of the others."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from sources import read, read_and_count

from lyricbert.errors import UserError
from lyricbert.songs.formats import list_files


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def test_files_that_are_skipped_are_counted_by_kind(tmp_path):
    write(tmp_path, {"b.TXT": "song b", "a.txt": "song a", "deep/er/c.lrc": "[00:01]song c"})
    skipped = [
        "README.md",
        "notes.MD",
        "LICENSE",
        "No. 5",
        "old.txt.bz2",
        "t.tar.gz",
        "cover.jpg",
        "model/vocab.txt",
        "csv",
        "txt.gz",
    ]
    write(tmp_path, dict.fromkeys(skipped, "[PAD]\n[UNK]"))
    records, dropped = read_and_count(tmp_path)
    assert [(record.id, record.artist) for record in records] == [("a", ""), ("b", ""), ("c", "er")]
    assert dropped == {
        "files of kind .md (skipped)": 2,
        "files of kind .jpg (skipped)": 1,
        "files of kind .bz2 (skipped)": 1,
        "files of kind .tar.gz (skipped)": 1,
        "files of kind .gz (skipped)": 1,
        "files of unknown kind (skipped)": 3,
        "files of a tokenizer (skipped)": 1,
    }


def test_hidden_files_and_those_of_macos_are_ignored(tmp_path):
    ignored = ["._a.txt", ".hidden/b.txt", "__MACOSX/c.txt", "__MACOSX/._a.txt", ".DS_Store"]
    write(tmp_path / ".cache", {"a.txt": "song a", **dict.fromkeys(ignored, "not a song")})
    records, dropped = read_and_count(tmp_path / ".cache")  # hidden, but the user named it
    assert [record.lyrics for record in records] == ["song a"]
    assert dropped == {}


def test_files_of_a_folder_without_lyrics_are_counted(tmp_path):
    write(
        tmp_path,
        {
            "a.txt": "song a",
            "config.json": json.dumps({"model_type": "bert", "label2id": {"lyrics": 1}}),
            "tokenizer.json": json.dumps({"model": {"vocab": {"lyrics": 7, "songs": 8}}, "added_tokens": [{"id": 0}]}),
            "vocab.json": json.dumps(["[PAD]", "lyrics"]),
            "metrics.jsonl": '{"step": 1}\n{"step": 2}\n',
            "artists.csv": "Artist,Genres\nMarrow Lane,Rock\n",
            "empty.csv": "",
            "empty.json": "\n",
            "empty.jsonl": "",
            "scores.tsv": "id\tscore\n",
        },
    )
    records, dropped = read_and_count(tmp_path)
    assert [record.lyrics for record in records] == ["song a"]
    assert dropped == {
        "files of kind .json without lyrics (skipped)": 4,
        "files of kind .jsonl without lyrics (skipped)": 2,
        "files of kind .csv without lyrics (skipped)": 2,
        "files of kind .tsv without lyrics (skipped)": 1,
    }
    for name in ("config.json", "metrics.jsonl", "artists.csv", "scores.tsv"):
        with pytest.raises(UserError, match=r"no `lyrics` field|no column named"):
            read(tmp_path / name)
    assert read(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "content"), [("bad.txt", b"caf\xe9"), ("bad.json", b'{"lyrics": "a'), ("bad.csv", b'lyrics\n"a')]
)
def test_a_damaged_file_in_a_folder_is_an_error(tmp_path, name, content):
    (tmp_path / "a.txt").write_text("song a")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        read(tmp_path)


def test_links(tmp_path):
    write(tmp_path, {"data/a.txt": "song a", "elsewhere/b.txt": "song b"})
    data = tmp_path / "data"
    (data / "more").symlink_to(tmp_path / "elsewhere")
    (data / "linked.txt").symlink_to(tmp_path / "elsewhere" / "b.txt")
    (data / "cycle").symlink_to(data)
    (data / "gone.txt").symlink_to(tmp_path / "gone.txt")
    (data / "self.txt").symlink_to(data / "self.txt")
    records, dropped = read_and_count(data)
    assert [record.id for record in records] == ["a", "linked", "b"]
    assert dropped == {"broken links, pipes and devices (skipped)": 2}


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    write(tmp_path, {"a.txt": "song a", "closed/b.txt": "song b"})
    scandir = os.scandir

    def refuse(path: str):
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("lyricbert.songs.formats.finding.os.scandir", refuse)
    with pytest.raises(UserError, match=r"closed: cannot be read \(Permission denied\)"):
        list_files([tmp_path], Counter())


def test_the_order_depends_on_names_only(tmp_path):
    names = ["b.txt", "a.txt", "a/z.txt", "a.b/y.txt", "a/b.csv.gz"]
    write(tmp_path, dict.fromkeys(names, "x"))
    files = list_files([tmp_path], Counter())
    assert [file.location for file in files] == sorted(str(tmp_path / name) for name in names)


def test_a_file_of_another_kind_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    for name, complaint in (("pipe.txt", "give - and --format"), ("a.parquet.gz", "unsupported"), ("b.txt", "no such")):
        with pytest.raises(UserError, match=complaint):
            list_files([tmp_path / name], Counter())
