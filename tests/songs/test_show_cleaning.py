"""prepare --show-cleaning: what cleaning does to a sample of songs."""

from lyricbert.songs.record import Record
from lyricbert.songs.show_cleaning import show_cleaning


def test_each_change_is_shown_with_its_rule():
    song = Record("3 ContributorsBells Lyrics[Verse 1]\nRing it\u200b low (x2)\nRing", title="Bells", artist="Ann")
    assert show_cleaning([song], 5).split("\n") == [
        "Bells (Ann)",
        "  invisible characters: 1",
        "    - Ring it\\u200b low (x2)",
        "    + Ring it low (x2)",
        "  Genius page headers: 1",
        "    - 3 ContributorsBells Lyrics[Verse 1]",
        "    + [Verse 1]",
        "  repeat marks: 1",
        "    - Ring it low (x2)",
        "    + Ring it low",
        "  section headers: 1",
        "    - [Verse 1]",
        "    + ",
    ]


def test_a_song_that_stays_as_it_is_and_no_songs():
    assert show_cleaning([Record("Ring it low", id="7")], 5) == ("7 (unknown artist)\n  nothing is removed or changed")
    assert show_cleaning([], 5) == "no songs"


def test_the_sample_does_not_depend_on_the_order_of_the_songs():
    songs = [Record(f"Ring {number}", title=f"Song {number}") for number in range(100)]
    sample = show_cleaning(songs, 3)
    assert sample == show_cleaning(reversed(songs), 3)
    assert sample.count("Song") == 3


def test_only_characters_that_a_terminal_can_show_are_printed():
    shown = show_cleaning([Record("\ud800\x1b[31m\ufeffRing\u2028low " + "o" * 200, title="\x07\ud800")], 1)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert max(map(len, shown.split("\n"))) < 150
