"""Cleaning: pages of Genius, headers and names, repeat marks, characters, and what holds for every text."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lyricbert.songs.cleaning import UNSETTLED, clean


def sections(text: str, title: str = "") -> list[list[str]]:
    return [list(section) for section in clean(text, Counter(), title).sections]


def lines(text: str, title: str = "") -> list[str]:
    return [line for section in sections(text, title) for line in section]


def names(text: str) -> list[str]:
    return list(clean(text, Counter()).names)


def test_blank_lines_and_headers_separate_sections():
    text = "[Verse 1]\nOne line\nTwo  lines\n\n\nThree\n[Chorus: Somebody & All]\nFour [softly] now"
    assert sections(text) == [["One line", "Two lines"], ["Three"], ["Four [softly] now"]]


def test_text_added_by_genius_pages_is_removed_and_counted():
    text = (
        "12 ContributorsTranslationsEspañolSome Title Lyrics[Verse 1]\nFirst line\n"
        "See Somebody LiveGet tickets as low as $53You might also like[Chorus]\nSecond line\n\n"
        "You might also likeThird line\nlast line7Embed"
    )
    dropped = Counter()
    assert clean(text, dropped).sections == (("First line",), ("Second line",), ("Third line", "last line"))
    assert dropped == {
        "Genius page headers": 1,
        "Genius ticket offers": 1,
        "Genius prompts": 2,
        "Genius 'Embed' footers": 1,
        "section headers": 2,
    }


@pytest.mark.parametrize(
    ("header", "title"),
    [
        ("12 ContributorsSome Title Lyrics", ""),
        ("1 ContributorSome Title Lyrics", ""),
        ("1.2K ContributorsSome Title Lyrics", ""),
        ("12ContributorsSome TitleLyrics", ""),
        ("12 ContributorsTranslationsTürkçeEspañolDeutschSome Title Lyrics", ""),
        ("TranslationsTürkçeEspañol12 ContributorsSome Title Lyrics", ""),
        ("TranslationsTürkçeEspañolSome Title Lyrics", "Some Title"),
        ("12 ContributorsLyrics of Love Lyrics", "Lyrics of Love"),
        ("Some Title Lyrics", "Some Title"),
    ],
)
@pytest.mark.parametrize("start", ["Ring it low", "[Verse 1]\nRing it low", "\n[Verse 1:\nAnn]\nRing it low"])
def test_the_header_of_a_genius_page(header, title, start):
    assert sections(f"{header}{start}\nRing it high", title) == [["Ring it low", "Ring it high"]]


def test_a_title_without_contributors_is_removed_before_a_header_even_if_the_source_has_no_title():
    assert lines("Some Title Lyrics[Verse 1]\nRing it low") == ["Ring it low"]
    assert lines("Lyrics of Love Lyrics[Verse 1: Ann]\nRing it low") == ["Ring it low"]
    assert lines("12 ContributorsLyrics of Love Lyrics[Verse 1]\nRing it low") == ["Ring it low"]


@pytest.mark.parametrize(
    "line",
    [
        "Some Title Lyrics are all I have",
        "Some Title Lyrics, Lyrics, Lyrics",
        "Other Lyrics",
        "I wrote the Lyrics [softly] now",
        "I wrote the Lyrics[softly] now",
        "12 people sing Lyrics",
    ],
)
def test_a_first_line_about_lyrics_is_kept(line):
    assert lines(f"{line}\nRing it low", "Some Title") == [line, "Ring it low"]


@pytest.mark.parametrize(
    ("description", "start"),
    [
        ("“Some Title” is a song about a bell… Read More ", "[Verse 1]\nRing it low"),
        ("The song is about a bell... Read More\u00a0", "\n[Verse 1]\nRing it low"),
        ("A bell.\nIt has two parts. Read More\u00a0", "Ring it low"),
    ],
)
@pytest.mark.parametrize("header", ["12 ContributorsSome Title Lyrics", "Some Title Lyrics"])
def test_the_description_of_a_song(header, description, start):
    assert lines(f"{header}{description}{start}", "Some Title") == ["Ring it low"]


def test_a_description_without_a_header():
    assert lines("“Some Title” is about a bell… Read More [Verse 1]\nRing it low") == ["Ring it low"]


def test_a_page_header_after_the_header_of_a_section():
    assert sections("[Intro]\nSome Title Lyrics\nRing it low", "Some Title") == [["Ring it low"]]


def test_lyrics_about_reading_are_kept():
    assert lines("3 ContributorsA Lyrics[Verse] I Read More\nbooks") == ["I Read More", "books"]
    assert lines("I need to Read More\nRead More\nbooks") == ["I need to Read More", "Read More", "books"]
    assert lines("3 ContributorsA Lyrics[Verse]\nI Read More\nbooks") == ["I Read More", "books"]


@pytest.mark.parametrize(
    "embed",
    [
        *("Embed", "7Embed", "12Embed", "1.2KEmbed", "12EmbedShare URLCopyEmbedCopy", "EmbedShare URLCopyEmbedCopy"),
        *("You might also like7Embed", "\n7Embed\n\n", "7Embed\u200b", " Embed"),
    ],
)
def test_the_end_of_a_genius_page(embed):
    assert sections(f"Ring it low\nRing it high{embed}") == [["Ring it low", "Ring it high"]]


@pytest.mark.parametrize("embed", ["12Embed", "1.2KEmbed", "Embed", "3EmbedShare URLCopyEmbedCopy"])
@pytest.mark.parametrize("chorus", ["Summer of 69", "[Chorus] Summer of 69", "Summer of 69 (x2)"])
def test_digits_before_embed_that_belong_to_a_repeated_line_are_kept(chorus, embed):
    assert lines(f"{chorus}\nBells\nSummer of 69{embed}") == ["Summer of 69", "Bells", "Summer of 69"]


def test_other_digits_before_embed_are_cut():
    assert lines("Winter of 69\nBells\nSummer of 6912Embed") == ["Winter of 69", "Bells", "Summer of"]


def test_an_offer_or_a_prompt_attached_to_a_line():
    assert lines("When you See bells See Ann Example LiveGet tickets as low as $53\nRing") == [
        "When you See bells",
        "Ring",
    ]
    assert sections("Ring it low You might also like[Chorus]\nRing") == [["Ring it low"], ["Ring"]]


def test_embed_inside_the_lyrics_is_kept():
    assert lines("Embed it\nRing it Embed\nlow") == ["Embed it", "Ring it Embed", "low"]


@pytest.mark.parametrize(
    "offer",
    [
        "\nSee Ann Example LiveGet tickets as low as $53You might also like",
        "\nSee Ann Example Live\nGet tickets as low as $1,053\nYou might also like\n",
        "See Ann Example LiveGet tickets as low as £53\n",
        "\nYou might also like\n",
        "\nYou might also like",
        "You might also like",
    ],
)
def test_text_between_the_lines_of_a_genius_page_does_not_split_a_section(offer):
    assert sections(f"See it swing\nRing it low{offer}Ring it high") == [
        ["See it swing", "Ring it low", "Ring it high"]
    ]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "You might also like to dance",
            "You might also like, my dear",
            "(You might also like)",
            "(You might also like",
            "See Ann Example Live",
        ),
        *("I think that You might also like", "Get tickets as low as $53 tonight"),
    ],
)
def test_a_lyric_line_that_resembles_a_prompt_is_kept(line):
    assert lines(f"{line}\nRing it low") == [line, "Ring it low"]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("[Chorus]\n", "Chorus"),
        ("[Verse 1: Ann & Bob]\n", "Verse 1"),
        ("[Verse 1 - Ann]\n", "Verse 1"),
        ("[Pre-Chorus]\n", "Pre-Chorus"),
        ("[Chorus x2]\n", "Chorus"),
        ("[Chorus (x2)]\n", "Chorus"),
        ("[Припев: Аня]\n", "Припев"),
        ("[Guitar Solo]\n", "Guitar Solo"),
        ("[Chorus] ", "Chorus"),
        ("[Verse 2: Ann] ", "Verse 2"),
        ("[Chorus]", "Chorus"),
        ("[Verse 1:\nSomebody]\n", "Verse 1"),
        ("[Verse 1: \nAnn\n &\u00a0\nBob\n]\n", "Verse 1"),
        ("(Verse 2)\n", "Verse 2"),
        ("(Prechorus)\n", "Prechorus"),
        ("(Chorus: Ann)\n", "Chorus"),
        ("(Chorus x2)\n", "Chorus"),
        ("Chorus:\n", "Chorus"),
        ("VERSE 2\n", "VERSE 2"),
        ("Chorus (x2)\n", "Chorus"),
        ("Estribillo:\n", "Estribillo"),
    ],
)
def test_headers_become_names(header, name):
    cleaned = clean(f"Ring it low\n{header}Ring it high", Counter())
    assert cleaned.sections == (("Ring it low",), ("Ring it high",))
    assert cleaned.names == ("", name)


def test_a_header_after_a_line_without_a_line_break():
    assert sections("Ring it low[Chorus]\nRing it high") == [["Ring it low"], ["Ring it high"]]


def test_a_name_holds_until_the_next_header():
    assert names("Bells\n\n[Verse 1]\nRing\n\nlow\n[Intro]\n[Chorus]\nhigh") == ["", "Verse 1", "Verse 1", "Chorus"]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Four [softly] now",
            "[softly] now",
            "[Drop the bass] again",
            "[Part of me] cries",
            "Chorus",
            "Verse two of it",
        ),
        *("(Break)", "(Ring it)", "Hook, line and sinker:", "Chorus: ring it", "[Chorus", "Bridge over it (Bridge)"),
    ],
)
def test_a_line_that_resembles_a_header_is_kept(line):
    assert sections(f"Ring it low\n{line}") == [["Ring it low", line]]


def test_a_bracket_over_many_lines_is_kept():
    assert sections("[Chorus: ring\n\nlow]") == [["[Chorus: ring"], ["low]"]]
    song = [f"Ring it low and ring it high, number {number}" for number in range(4)]
    assert lines("[Chorus:\n" + "\n".join(song) + "]") == ["[Chorus:", *song[:-1], f"{song[-1]}]"]


@pytest.mark.parametrize(
    "mark",
    [
        *(
            "(x2)",
            "[x2]",
            "(2x)",
            "[2X]",
            "(x 2)",
            "x3",
            "\xd73",
            "(\xd73)",
            "(repeat x2)",
            "(Repeat 3 times)",
            "(3 times)",
            "[x2] (x2)",
        )
    ],
)
def test_repeat_marks_are_removed(mark):
    assert sections(f"Ring it low {mark}\n{mark}\nRing it high\n\n{mark}") == [["Ring it low", "Ring it high"]]


def test_repeat_marks_in_a_line():
    assert lines("(x2) Ring it (x2) low (x3), high\nRing(x2)it") == ["Ring it low, high", "Ring it"]


@pytest.mark.parametrize(
    "line", ["In my X5", "Give me 2x", "(Repeat after me)", "Three times (three times)", "x2 is a plane"]
)
def test_a_line_that_resembles_a_repeat_mark_is_kept(line):
    assert lines(line) == [line]


@pytest.mark.parametrize(
    "end", ["\n", "\r\n", "\r\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "<br>", "<BR />\r\n"]
)
def test_line_ends(end):
    assert sections(f"Ring{end}it{end}{end}low{end}") == [["Ring", "it"], ["low"]]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Salt &amp; pepper", "Salt & pepper"),
        ("Salt &amp;amp; pepper", "Salt & pepper"),
        ("don&#39;t, don&#x27;t, don&rsquo;t", "don't, don't, don\u2019t"),
        ("caf&eacute;&nbsp;noir", "caf\u00e9 noir"),
        ("R&B; Q&A &notit; &amp &;", "R&B; Q&A &notit; &amp &;"),
        ("low&#0;er&#xd800;", "lower"),
        ("<3 <bro> <br>", "<3 <bro>"),
    ],
)
def test_html(text, cleaned):
    assert lines(text) == [cleaned]


def test_invisible_characters_and_accents():
    assert lines("\ufeffni\u200bght\x00\ud800 e\u200b\u0301 \u2067moon\u2069") == ["night \u00e9 moon"]


def test_lines_without_words_are_counted():
    dropped = Counter()
    assert clean("***\n...\nwords\n🎵🎵\nmore\n[?]\nwords", dropped).sections == (("words", "more", "words"),)
    assert dropped["lines without words"] == 4


def test_text_that_rules_change_forever_is_dropped_and_counted():
    dropped = Counter()
    assert clean("(x" * 50 + "2)" * 50, dropped).sections == ()
    assert dropped[UNSETTLED.name] == 1


PIECES = [
    *("[", "]", "(", ")", "\n", "\n\n", " ", "x2", "(x2)", "[x2]", "x3\n", "2x", "12", "69", "1.2K", "Summer of 69"),
    *("Embed", "Share URLCopyEmbedCopy", " Lyrics", "Title", "Title Lyrics", "12 Contributors", "Translations"),
    *("Read More", "… Read More", "See Ann Live", "Get tickets as low as $53", "You might also like", "la la", "***"),
    *("[Chorus]", "[Verse 1: Ann]", "[Verse 1:\nAnn]", "(Verse 2)", "Chorus", "chorus (x2)", "[softly]", ":", "?", "“"),
]
CHARACTERS = [
    *("&amp;", "amp;", "&lt;br&gt;", "<br>", "&#39;", "&#x200b;", "&#3", "8;", "\r\n", "\r\r\n", "\u2028", "\x85"),
    *("\u200b", "\ufeff", "e\u0301", "\u0301", "\ud800", "\0"),
]
titles = st.sampled_from(["", "Title", "Summer of 69"])
texts = st.lists(st.sampled_from(PIECES + CHARACTERS) | st.text(max_size=3), max_size=14).map("".join)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(texts | st.text(), titles)
def test_cleaning_twice_equals_cleaning_once(text, title):
    once = clean(text, Counter(), title)
    assert len(once.names) == len(once.sections)
    dropped = Counter()
    assert clean("\n\n".join("\n".join(section) for section in once.sections), dropped, title).sections == once.sections
    assert not +dropped
    for line in lines(text, title):
        assert line == " ".join(line.split()) != ""
        line.encode()


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), titles)
def test_cleaning_does_not_add_text(text, title):
    left = iter("".join(text.split()))
    kept = "".join("".join(lines(text, title)).split())
    assert all(character in left for character in kept)  # `in` moves on in `left`: `kept` is a subsequence
