"""Whatever a file contains, it is read or refused with one line, and well-formed files lose nothing."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import read

from lyricbert.errors import UserError

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = [
    '"',
    '""',
    '","',
    ",",
    "\t",
    "\n",
    "\r",
    "\u2028",
    "\0",
    "\\",
    "\\u00",
    "\ud800",
    "}",
    "[",
    "]",
    "NaN",
    "9" * 5000,
]
PIECES += ["lyrics", '"lyrics"', "title,lyrics\n", '{"lyrics": ', "[00:01]", "[00:99.999]<1:2>", "[ti:", "[Song 1: x]"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join)
# No zero bytes, because many mean UTF-16; no tabs, because a TSV file with tabs and line ends in fields is ambiguous.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0\t")
CONTENT = st.binary(max_size=200) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("suffix", ["txt", "lrc", "json", "jsonl", "csv", "tsv", "csv.gz", "csv.zst", "parquet"])
@SETTINGS
@given(content=CONTENT, is_compressed=st.booleans())
def test_any_content_is_read_or_refused(tmp_path, suffix, content, is_compressed):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(gzip.compress(content) if is_compressed else content)
    try:
        records = read(path)
    except UserError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
    else:
        assert all(record.lyrics.strip() and record.id for record in records)


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
@SETTINGS
@given(rows=st.lists(st.tuples(*[st.text(CHARACTERS, max_size=9)] * 3), max_size=9))
def test_rows_of_a_writer_that_escapes_are_read_as_they_are(tmp_path, suffix, delimiter, rows):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([("id", "lyrics", "tag"), *rows])
    (tmp_path / f"a.{suffix}").write_text(text.getvalue(), encoding="utf-8", newline="")
    expected = [lyrics for _, lyrics, _ in rows if lyrics.strip()]
    assert [record.lyrics for record in read(tmp_path / f"a.{suffix}")] == expected


@pytest.mark.parametrize("indent", [None, 1])
@SETTINGS
@given(lyrics=st.lists(st.text(max_size=9), min_size=1, max_size=9), block=st.integers(1, 20))
def test_songs_of_json_are_read_as_they_are(tmp_path, monkeypatch, indent, lyrics, block):
    monkeypatch.setattr("lyricbert.songs.formats.json_values._BLOCK", block)
    (tmp_path / "a.json").write_text(json.dumps([{"lyrics": text} for text in lyrics], indent=indent))
    assert [record.lyrics for record in read(tmp_path / "a.json")] == [text for text in lyrics if text.strip()]
