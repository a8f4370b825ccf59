"""Each rule of cleaning: its example, its count, its time, and docs/cleaning.md."""

from collections import Counter

import pytest

from docs.cleaning import PAGE, page
from lyricbert.songs.cleaning import RULES, clean


def joined(sections) -> str:
    return "\n\n".join("\n".join(section) for section in sections)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_example_of_a_rule(rule):
    dropped = Counter()
    assert joined(clean(rule.before, dropped, rule.title).sections) == rule.after
    assert dropped[rule.name] > 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_leaves_its_result_as_it_is(rule):
    dropped = Counter()
    assert joined(clean(rule.after, dropped, rule.title).sections) == rule.after
    assert not +dropped


def test_names_of_rules_are_unique():
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_page_about_cleaning_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "stale; run: python -m docs.cleaning"


# With a pattern that backtracks over its whole input, one of these takes minutes.
FRAGMENTS = [
    *("[", "[[]", "(", "1", " ", "x2 ", "(x", "(x2)", "\n", "\r", "\u3000", "\u0316\u0300", "a\u0301", "\ud800"),
    *("&", "&#", "&amp;", "<br", "Chorus:", "[Chorus", "[Chorus:", "[Chorus:\n", "[Chorus]", "(Verse 1", "[a]\n"),
    *("1 Contributor", "1 ContributorLyrics", "Translations1", "Lyrics", "Title Lyrics", "Read More", ". "),
    *("See ", "See a Live", "See a LiveGet tickets as low as $5", "You might also like", "Embed", "1Embed\n", "1."),
]


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=ascii)
def test_cleaning_takes_linear_time(fragment):
    text = fragment * (100_000 // len(fragment))
    for song in (text, f"1 ContributorTitle LyricsX{text}", f"{text}z"):
        clean(song, Counter(), "Title")


def test_embeds_in_one_line_take_linear_time():
    clean("1Embed" * 300_000, Counter())  # some minutes if the whole line is compared for each of them
