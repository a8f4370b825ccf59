"""Parquet files, with made-up words."""

import pyarrow
import pytest
from pyarrow import parquet
from sources import read, read_and_count

from lyricbert.errors import UserError
from lyricbert.songs.record import Record


def test_a_table_of_several_row_groups(tmp_path):
    count = 5000
    table = pyarrow.table(
        {
            "views": list(range(count)),
            "Lyrics": [None if number % 1000 == 7 else f"line {number}" for number in range(count)],
            "title": pyarrow.array(["Tin Sun", "Shoes"] * (count // 2)).dictionary_encode(),
            "id": list(range(count)),
            "artist": [["A", "B"]] * count,
            "tag": [{"name": "rap", "primary": True}] * count,
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1500)
    records, dropped = read_and_count(tmp_path / "a.parquet")
    assert dropped == {"songs without lyrics": 5}
    assert len(records) == count - 5
    assert records[0] == Record("line 0", id="0", title="Tin Sun", artist="A, B", genre="rap")
    assert records[-1].id == "4999"


def test_what_cannot_be_read(tmp_path):
    parquet.write_table(pyarrow.table({"words": ["la"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no column named lyrics or lyric or text"):
        read(tmp_path / "a.parquet")
    assert [record.lyrics for record in read(tmp_path / "a.parquet", text_field="Words")] == ["la"]
    (tmp_path / "b.txt").write_text("song")
    records, dropped = read_and_count(tmp_path)
    assert len(records) == 1
    assert dropped == {"files of kind .parquet without lyrics (skipped)": 1}
    whole = (tmp_path / "a.parquet").read_bytes()
    for content in (b"", b"PAR1", whole[: len(whole) // 2], whole[:4] + bytes(40) + whole[44:]):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.parquet: damaged, or not a \.parquet file"):
            read(tmp_path / "a.parquet", text_field="words")
