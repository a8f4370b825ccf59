"""Batches of records, and ranges of rows."""

import re
from collections import Counter

import pytest

from lyricbert.errors import UserError
from lyricbert.songs.record import Record
from lyricbert.songs.sharding.cutting import Rows, cut_into_batches, find_ranges, parse_rows

# File -> its records. "-" stands for a record that is dropped.
FILES = {"a": "--abc-", "b": "--", "c": "d-efgh-", "d": "", "e": "i-", "f": "-"}
ALL = "abcdefghi"


def read(file, dropped):
    for letter in FILES[file]:
        if letter == "-":
            dropped["dashes"] += 1
        else:
            yield Record(letter * 100)


def batches_of(rows: Rows, characters: int = 10_000):
    dropped = Counter()
    batches = list(cut_into_batches(FILES, read, rows, dropped, characters))
    return batches, dropped["dashes"]


def test_batches_hold_all_records_in_order_and_are_about_as_large_as_asked():
    batches, dropped = batches_of(Rows(), 300)
    assert ["".join(record.lyrics[0] for record in batch.records) for batch in batches] == ["ab", "cd", "ef", "gh", "i"]
    assert [batch.number for batch in batches] == [0, 1, 2, 3, 4]
    assert [file for batch in batches for file in batch.files] == list(FILES)
    assert dropped == 9


@pytest.mark.parametrize("cuts", [[3], [1, 2], [4, 5, 8], [2, 3, 4, 6], list(range(1, 9))])
def test_ranges_of_rows_share_records_files_and_what_is_dropped(cuts):
    ranges = [Rows(start, stop) for start, stop in zip([0, *cuts], [*cuts, None], strict=True)]
    parts = [batches_of(rows) for rows in ranges]
    batches = [batch for part, _ in parts for batch in part]
    assert "".join(record.lyrics[0] for batch in batches for record in batch.records) == ALL
    assert [file for batch in batches for file in batch.files] == list(FILES)
    assert sum(dropped for _, dropped in parts) == 9


def test_rows_after_the_last_record_are_empty():
    assert batches_of(Rows(20)) == ([], 0)


@pytest.mark.parametrize("count", [1, 2, 4, 9, 20, 10**15])
def test_found_ranges_are_about_equally_long(count):
    ranges = find_ranges(FILES, read, count)
    assert len(ranges) == min(count, len(ALL))
    assert (ranges[0].start, ranges[-1].stop) == (0, None)
    assert [rows.stop for rows in ranges[:-1]] == [rows.start for rows in ranges[1:]]
    sizes = [(len(ALL) if rows.stop is None else rows.stop) - rows.start for rows in ranges]
    assert max(sizes) - min(sizes) <= 1
    assert [parse_rows(str(rows)) for rows in ranges] == ranges


@pytest.mark.parametrize("text", ["", "5", ":5", "5:5", "6:5", "a:b", "-1:5", "1:2:3", "9" * 30 + ":"])
def test_rows_that_are_none(text):
    with pytest.raises(UserError, match=f"^--rows {re.escape(text)}: must be A:B"):
        parse_rows(text)
