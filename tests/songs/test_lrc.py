"""Lyrics with time stamps. The words are made up."""

from sources import read

from lyricbert.songs.record import Record

LRC = """\ufeff[ti: Tin Sun ]
[ar:Marrow Lane]
[al:Paper Boats]
[la:en]
[by:somebody]
[offset:+500]

[00:12.00]Copper moon over the yard
[00:17.20][00:45.10]Hold the lantern, hold it long
[00:21.10]<00:21.10>Salt <00:21.60>water <00:22>shoes
[00:30.00]
[00:31:50] [Chorus: Everybody]
[00:40]Two [00:41.00]more words
without a time
[1:02.5]The last line
[00:50.000]
"""


def test_lines_stand_in_the_order_of_their_times(tmp_path):
    (tmp_path / "song.lrc").write_text(LRC, encoding="utf-8")
    lyrics = "\n".join(
        [
            "",
            "Copper moon over the yard",
            "Hold the lantern, hold it long",
            "Salt water shoes",
            "",
            "[Chorus: Everybody]",
            "Two more words",
            "without a time",
            "Hold the lantern, hold it long",
            "",
            "The last line",
        ]
    )
    assert read(tmp_path / "song.lrc") == [
        Record(lyrics, id="song", title="Tin Sun", artist="Marrow Lane", language="en")
    ]


def test_without_tags_and_times(tmp_path):
    (tmp_path / "Tin Sun.lrc").write_text("copper moon\n[99999:00.00]odd\n\nsilver moon [12")
    (record,) = read(tmp_path / "Tin Sun.lrc")
    assert record == Record("copper moon\n[99999:00.00]odd\n\nsilver moon [12", id="Tin Sun", title="Tin Sun")


def test_a_comma_before_the_fraction(tmp_path):
    (tmp_path / "song.lrc").write_text("[00:12,50]second\n[00:12,20]first")
    (song,) = read(tmp_path / "song.lrc")
    assert song.lyrics == "first\nsecond"
