"""Clean lyrics: apply the rules until nothing changes, and split the text into sections of lines."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from lyricbert.songs.rules import REPEATED
from lyricbert.songs.rules.headers import HEADERS, name_of
from lyricbert.songs.rules.rule import Rule, is_header

# Real lyrics need two or three rounds. Made-up text can need one for every few characters, such as "(x(x(x2)2)2)".
_MOST_ROUNDS = 20
UNSETTLED = Rule(
    f"songs that cleaning still changes after {_MOST_ROUNDS} rounds",
    "The rules are applied at most 20 times. A song that they still change then is dropped.",
    "Salt &" + "amp;" * (_MOST_ROUNDS + 1) + " pepper",
    "",
    lambda text, title: ("", 1),
)
RULES = (*REPEATED, HEADERS, UNSETTLED)


@dataclass(frozen=True)
class Cleaned:
    """The cleaned text of a song. Each of its `sections` is a tuple of non-empty lines.

    `names` has the name of each section, such as "Chorus", or "" if the source gives none. A name holds until the next
    header, also over blank lines. Names have no performers: "Verse 1" for `[Verse 1: Somebody]`.
    """

    sections: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """What one rule changed: the text `before` and `after`, and the number of changes."""

    rule: Rule
    before: str
    after: str
    count: int


def clean(lyrics: str, dropped: Counter[str], title: str = "") -> Cleaned:
    """Clean `lyrics` and split them into sections of lines, at blank lines and at headers such as `[Chorus]`.

    `dropped` counts what is removed or changed, by the name of the rule. `title`: the song's title, if the source has
    it; it shows where the header of a Genius page ends. The cleaned lines, joined again, are cleaned to the same
    sections. Works on any string. docs/cleaning.md lists the rules.
    """
    text = lyrics
    for step in steps(lyrics, title):
        dropped[step.rule.name] += step.count
        text = step.after
    return _split(text, dropped)


def steps(lyrics: str, title: str) -> Iterator[Step]:
    """Apply the rules to `lyrics` until none changes the text. Yields each change; headers stay in the text."""
    text = lyrics
    unchanged = 0
    for rule in islice(cycle(REPEATED), _MOST_ROUNDS * len(REPEATED)):
        after, count = rule.apply(text, title)
        if after != text:
            yield Step(rule, text, after, count)
            text, unchanged = after, 0
            continue
        unchanged += 1
        if unchanged == len(REPEATED):
            return
    yield Step(UNSETTLED, text, *UNSETTLED.apply(text, title))


def all_steps(lyrics: str, title: str) -> Iterator[Step]:
    """What `steps` yields, then the removal of headers."""
    text = lyrics
    for step in steps(lyrics, title):
        yield step
        text = step.after
    after, count = HEADERS.apply(text, title)
    if count:
        yield Step(HEADERS, text, after, count)


def _split(text: str, dropped: Counter[str]) -> Cleaned:
    sections: list[tuple[str, ...]] = []
    names: list[str] = []
    section: list[str] = []
    name = ""
    for line in (*text.split("\n"), ""):
        header = is_header(line)
        if line and not header:
            section.append(line)
            continue
        if section:
            sections.append(tuple(section))
            names.append(name)
            section = []
        if header:
            name = name_of(line)
            dropped[HEADERS.name] += 1
    return Cleaned(tuple(sections), tuple(names))
