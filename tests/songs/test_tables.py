"""CSV and TSV files with the columns of known data sets, and of writers that do not escape. The words are made up."""

import csv
import io

import pytest
from sources import read, read_and_count

from lyricbert.errors import UserError
from lyricbert.songs.record import Record

LYRICS = '[Verse 1]\nShe said, "copper moon",\nand left\n\nsecond verse'

# Name of a data set -> (header, row, what is read).
DATA_SETS = {
    "Genius": (
        "title,tag,artist,year,views,features,lyrics,id,language_cld3,language_ft,language",
        ["Tin Sun", "rap", "Marrow Lane", 2004, 173166, '{"A, B"}', LYRICS, 17, "es", "en", "en"],
        Record(LYRICS, id="17", title="Tin Sun", artist="Marrow Lane", genre="rap", language="en"),
    ),
    "Genius, detectors disagree": (
        "title,tag,artist,year,views,features,lyrics,id,language_cld3,language_ft,language",
        ["Tin Sun", "rap", "Marrow Lane", 2004, 173166, "{}", LYRICS, 17, "es", "en", ""],
        Record(LYRICS, id="17", title="Tin Sun", artist="Marrow Lane", genre="rap", language="en"),
    ),
    "Spotify Million": (
        "artist,song,link,text",
        ["Marrow Lane", "Tin Sun", "/m/marrow+lane/tin+sun_20.html", LYRICS],
        Record(LYRICS, id="/m/marrow+lane/tin+sun_20.html", title="Tin Sun", artist="Marrow Lane"),
    ),
    "Vagalume": (
        "ALink,SName,SLink,Lyric,language",
        ["/marrow-lane/", "Tin Sun", "/marrow-lane/tin-sun.html", LYRICS, "pt"],
        Record(LYRICS, id="/marrow-lane/tin-sun.html", title="Tin Sun", artist="/marrow-lane/", language="pt"),
    ),
    "MetroLyrics": (
        "index,song,year,artist,genre,lyrics",
        [3, "tin-sun", 2009, "marrow-lane", "Rock", LYRICS],
        Record(LYRICS, id="3", title="tin-sun", artist="marrow-lane", genre="Rock"),
    ),
    "1950-2019": (
        ",artist_name,track_name,release_date,genre,lyrics,len,dating",
        [0, "marrow lane", "tin sun", 1950, "pop", LYRICS, 95, 0.0005],
        Record(LYRICS, id="songs", title="tin sun", artist="marrow lane", genre="pop"),
    ),
    "AZLyrics": (
        "ARTIST_NAME,ARTIST_URL,SONG_NAME,SONG_URL,LYRICS",
        ["marrow lane", "https://az/m.html", "tin sun", "https://az/m/tin.html", LYRICS],
        Record(LYRICS, id="https://az/m/tin.html", title="tin sun", artist="marrow lane"),
    ),
}


def table(header: str, *rows: list, delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header.split(","), *rows])
    return text.getvalue()


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("name", DATA_SETS)
def test_columns_of_known_data_sets(tmp_path, name, suffix, delimiter):
    header, row, expected = DATA_SETS[name]
    path = tmp_path / f"songs.{suffix}"
    path.write_text(table(header, row, delimiter=delimiter), newline="")
    assert read(path) == [expected]


def test_fields_that_the_user_names(tmp_path):
    path = tmp_path / "songs.csv"
    path.write_text(table("Words,Name,Band,text", ["la la", "Tin Sun", "Marrow Lane", "a review"]))
    (record,) = read(path, text_field="words", title_field="Name", artist_field="Band")
    assert (record.lyrics, record.title, record.artist) == ("la la", "Tin Sun", "Marrow Lane")
    with pytest.raises(UserError, match=r"no column named Singer \(found: .*'Band'.*--artist-field"):
        read(path, artist_field="Singer")
    with pytest.raises(UserError, match=r"no column named Verse \(found: .*'Words'.*--text-field"):
        read(path, text_field="Verse")


def test_only_one_column_holds_lyrics(tmp_path):
    (tmp_path / "a.csv").write_text("text,lyrics\na review,\nanother\n")
    assert read_and_count(tmp_path / "a.csv") == ([], {"songs without lyrics": 2})


def unescaped(*rows: list[str]) -> str:
    """What the AZLyrics writer makes of rows: quotation marks around each field, none escaped."""
    header = ["ARTIST_NAME", "ARTIST_URL", "SONG_NAME", "SONG_URL", "LYRICS"]
    return "\n".join(",".join(f'"{field}"' for field in row) for row in [header, *rows])


@pytest.mark.parametrize(
    "lyrics",
    [
        'she said "copper moon", and left',
        '"copper moon" she said',
        'she said "copper moon"',
        'one mark at the end"',
        'one mark " inside',
        'she said "yes","no","maybe", and left',
        'two lines "a\nb" here',
        'a line that ends "here"\nand "another" begins',
        'she said "yes"\n"no" said he',
        'a chain of 24"\nand a bell',
        'a chain of 24"\n\nand a bell',
        '"',
    ],
)
def test_rows_of_a_writer_that_does_not_escape_are_recovered(tmp_path, lyrics):
    rows = [
        ["marrow lane", "u", "first", "u1", "plain words"],
        ["marrow lane", "u", 'the "second" one', "u2", lyrics],
        ["marrow lane", "u", "third", "u3", "more, plain words"],
        ["marrow lane", "u", "fourth", "u4", lyrics],
    ]
    (tmp_path / "azlyrics_lyrics_m.csv").write_text(unescaped(*rows))
    found = read(tmp_path / "azlyrics_lyrics_m.csv")
    assert [(record.title, record.id, record.lyrics) for record in found] == [(row[2], row[3], row[4]) for row in rows]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", 'title,lyrics\nA,words\nB,"say "hi" now"\n', r"not CSV \(line 3: .*correct that line"),
        ("a.csv", "title,lyrics\nA,oh baby, baby\n", r"not CSV \(line 2: 3 fields, but the header has 2\)"),
        ("a.csv", 'title,lyrics\nA,"words\n' + "B,more\n" * 9, r"not CSV \(line 2: unexpected end of data\)"),
        ("a.tsv", 'title\tlyrics\nA\t"say" hi\tnow\n', r"not TSV \(line 2"),
        ("a.csv", 'ti"tle,"lyr"ics\n', r"not CSV \(line 1"),
        ("a.csv", '"title","lyrics"\n"A","say "yes""\n"B","yes"\nand left\n', r"not CSV \(line 3: an unescaped"),
    ],
)
def test_a_row_that_cannot_be_split_is_named(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=complaint):
        read(tmp_path / name)


def test_a_tsv_file_without_quoting(tmp_path):
    text = 'title\tlyrics\n"Heroes" live\tla la\nB\t"copper moon\nC\tno mark\nD\tsilver"\nE\t"both"\n'
    (tmp_path / "a.tsv").write_text(text)
    assert [(record.title, record.lyrics) for record in read(tmp_path / "a.tsv")] == [
        ('"Heroes" live', "la la"),
        ("B", '"copper moon'),
        ("C", "no mark"),
        ("D", 'silver"'),
        ("E", "both"),
    ]


def test_a_tsv_file_of_one_column(tmp_path):
    (tmp_path / "a.tsv").write_text('lyrics\n"la la\nla"\nother\n')
    assert [record.lyrics for record in read(tmp_path / "a.tsv")] == ["la la\nla", "other"]


def test_rows_that_are_short_long_or_empty(tmp_path):
    (tmp_path / "a.csv").write_text("title,lyrics,tag\nA,words,pop,\n\nB\nC,more\n")
    records, dropped = read_and_count(tmp_path / "a.csv")
    assert [(record.id, record.title, record.genre) for record in records] == [("a#1", "A", "pop"), ("a#3", "C", "")]
    assert dropped == {"songs without lyrics": 1}


def test_a_quotation_mark_that_is_never_closed_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("lyricbert.songs.formats.rows._LONGEST_FIELD", 1000)
    lines = iter(['"a","b"\n', '"x","y\n', *['more "words",\n'] * 100_000])
    from lyricbert.songs.formats.rows import Table

    table = Table(lines, ",", "a.csv")
    with pytest.raises(UserError, match="line 2"):
        list(table.rows(1))
    assert sum(1 for _ in lines) > 99_000
