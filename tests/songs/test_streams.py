"""Compressed files, standard input, encodings and damaged files."""

import gzip
import io
import json
import sys
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import zstandard
from conftest import call
from sources import lines, read

from lyricbert import prepare
from lyricbert.errors import UserError
from lyricbert.songs.formats import LyricsFile, ReadOptions, list_files, read_records
from lyricbert.songs.store import open_store

CONTENT = {
    "txt": "copper moon\nsilver",
    "lrc": "[00:01.00]copper moon\n[00:02.00]silver",
    "json": json.dumps({"lyrics": "copper moon\nsilver"}),
    "jsonl": json.dumps({"lyrics": "copper moon\nsilver"}),
    "csv": 'title,lyrics\n,"copper moon\nsilver"\n',
    "tsv": 'title\tlyrics\n\t"copper moon\nsilver"\n',
}
# The time is fixed, because pytest names cases after their bytes, and its processes must agree on the names.
in_gzip = partial(gzip.compress, mtime=0)
COMPRESS = {"gz": in_gzip, "zst": zstandard.ZstdCompressor(write_checksum=True).compress}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("format", CONTENT)
def test_each_kind_can_be_compressed(tmp_path, format, compression):
    path = tmp_path / f"Tin Sun.{format}.{compression}"
    path.write_bytes(COMPRESS[compression](CONTENT[format].encode()))
    (record,) = read(path)
    assert lines(record) == ["copper moon", "silver"]
    assert record.id == "Tin Sun"
    assert record.title == ("Tin Sun" if format in ("txt", "lrc") else "")


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_compressed_file_of_several_parts(tmp_path, compression):
    parts = [(json.dumps({"lyrics": f"line {number}"}) + "\n").encode() * 2000 for number in range(3)]
    path = tmp_path / f"a.jsonl.{compression}"
    path.write_bytes(b"".join(map(COMPRESS[compression], [*parts, b""])))
    assert [record.lyrics[-1] for record in read(path)] == ["0"] * 2000 + ["1"] * 2000 + ["2"] * 2000


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_damaged_compressed_file_is_an_error(tmp_path, compression):
    whole = COMPRESS[compression](b"".join(b"%d some words\n" % (number * 7919) for number in range(10_000)))
    path = tmp_path / f"a.txt.{compression}"
    flipped = whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
    for content in (whole[:-20], whole[:5000], flipped, b"not compressed at all"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"a\.txt\.{compression}: damaged, or not a \.{compression} file"):
            read(path)
    path.write_bytes(whole)
    assert read(path)


def test_a_missing_library_is_said_before_any_work(tmp_path, monkeypatch):
    for name in ("a.csv.zst", "b.parquet"):
        (tmp_path / name).write_bytes(b"")
    for module, package, name in (("zstandard", "zstandard", "a.csv.zst"), ("pyarrow.parquet", "pyarrow", "b.parquet")):
        monkeypatch.setitem(sys.modules, module, None)
        for source in (tmp_path, tmp_path / name):
            with pytest.raises(UserError, match=rf"{name}: .* run: pip install {package}$"):
                list_files([source], Counter())
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", "銅の月".encode("utf-16"), "not UTF-8 but UTF-16; .* utf-16 "),
        ("a.txt", "copper moon".encode("utf-16-le"), "not UTF-8 but UTF-16"),
        ("a.csv", "lyrics\ncopper".encode("utf-16-be"), "not UTF-8 but UTF-16"),
        ("a.json", '{"lyrics": "a"}'.encode("utf-16-le"), "not UTF-8 but UTF-16"),
        ("a.txt", "café".encode("latin1"), r"not UTF-8 \(byte 0xe9 at position 3\); .* latin1 "),
        ("a.jsonl", b"\xef\xbb\xbf" + b"\n" * 200_000 + b'{"lyrics": "caf\xe9"}', "byte 0xe9 at position 200018"),
        ("a.txt.gz", in_gzip(b"copper " * 20_000 + b"\xe9"), "byte 0xe9 at position 140000"),
        ("a.txt.zst", zstandard.compress(b"copper\xe9"), r"not UTF-8 \(byte 0xe9\);"),
        ("a.txt", b"copper\xe2\x82", "not UTF-8 .* latin1 "),
        ("a.csv", in_gzip(b"lyrics\ncopper"), "not text but compressed, .* decompress it"),
        ("a.txt.gz", in_gzip(in_gzip(b"copper")), "not text but compressed"),
    ],
)
def test_another_encoding_is_told_with_a_remedy(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        read(tmp_path / name)


def test_a_byte_order_mark_and_a_zero_byte_are_no_errors(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffcopper\0moon".encode())
    assert [record.lyrics for record in read(tmp_path / "a.txt")] == ["copper\0moon"]


def standard_input(monkeypatch, content: str) -> io.BytesIO:
    binary = io.BytesIO(content.encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(binary))
    return binary


@pytest.mark.parametrize("format", CONTENT)
def test_standard_input(monkeypatch, format):
    binary = standard_input(monkeypatch, CONTENT[format])
    (file,) = list_files([LyricsFile("-", format).path], Counter(), format)
    (record,) = read_records(file, ReadOptions(), Counter())
    assert lines(record) == ["copper moon", "silver"]
    assert record.id == "-"
    assert not binary.closed


def test_prepare_reads_standard_input_and_says_what_is_wrong_with_it(tmp_path, monkeypatch, model_dir):
    standard_input(monkeypatch, 'tag,lyrics\npop,"night moon"\nmisc,rain\n,fire road\n')
    flags = ("--out", tmp_path / "out", "--tokenizer", model_dir, "--val-fraction", 0.5, "--seed", 2)
    call(prepare.main, "-", "--format", "csv", "--exclude-tag", "Misc", *flags)
    store = open_store(tmp_path / "out")
    assert len(store.song_split) == 2
    assert store.meta["dropped"] == {"songs with tag Misc (--exclude-tag)": 1}
    assert json.loads((store.path / "sources.jsonl").read_text()) == {"name": "-", "sha256": None}
    standard_input(monkeypatch, '[{"lyrics": 5')
    for arguments, complaint in (
        (["-"], "say its format with --format"),
        (["-", "--format", "json"], "standard input: not JSON"),
        (["-", "-", "--format", "json"], "only once"),
        ([tmp_path, "--format", "json"], "only for standard input"),
    ):
        with pytest.raises(UserError, match=complaint):
            call(prepare.main, *arguments, "--out", tmp_path / "new", "--tokenizer", model_dir)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_songs_are_read_as_a_stream(tmp_path, name):
    """The first songs are there before the end is read, which is damaged."""
    words = "la " * 1000
    row = {"csv": f"x,{words}\n", "jsonl": f'{{"lyrics": "{words}"}}\n', "json": f'{{"lyrics": "{words}"}},\n'}[
        name[2:]
    ]
    start = {"csv": "title,lyrics\n", "jsonl": "", "json": "["}[name[2:]]
    (tmp_path / name).write_bytes((start + row * 1000).encode() + b"\xff")
    (file,) = list_files([tmp_path / name], Counter())
    records = read_records(file, ReadOptions(), Counter())
    assert [record.id for record in islice(records, 1, 3)] == ["a#2", "a#3"]
    with pytest.raises(UserError, match="not UTF-8"):
        list(records)


def test_closed_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)  # what Python sets after `<&-`
    with pytest.raises(UserError, match=r"^-: standard input is closed"):
        list_files([Path("-")], Counter(), "txt")
