"""Rules for what pages of genius.com add to lyrics. lyricsgenius saves it in one line with the lyrics."""

import re

from lyricbert.songs.rules.headers import HEADER_START
from lyricbert.songs.rules.rule import Rule, first_line, last_line, remove

# A page header and a description are shorter. The limit makes the time of these rules linear.
_WINDOW = 2000
_CONTRIBUTORS = re.compile(r"(?:Translations[^\n]{0,1000}?)?\d[\d.,]{0,9}[KM]? ?Contributors?(?![a-z])")
_DESCRIPTION_AFTER_HEADER = re.compile(
    r'(?!\[)(?:[^\n]*?Read More(?=\n|\Z| ?\[)|[^\[]*?[.…!?"”)] ?Read More(?! ?[a-z]))'
)
_DESCRIPTION_ALONE = re.compile(r'[^\n]*?[.…!?"”)] ?Read More(?=\n|\Z| ?\[)')
# " Live" ends the first line of an offer. "See" must not occur again before it, so that no lyrics are taken with it.
_OFFERS = re.compile(r"See (?:(?!See )[^\n]){1,80}? Live\n?Get tickets as low as [$£€]\d{1,9}(?:[.,]\d{2,3}){0,3}\n?")
# Lyrics follow a prompt without a space. "You might also like to dance" and "(You might also like)" are lyrics.
_PROMPTS = re.compile(
    r"You might also like(?:(?<![ (\"'“\u2018«]You might also like)(?:\n|\Z|(?=[\[(]|[\"'“\u2018«¿¡…]{0,3}\w))"
    r"|(?<= You might also like)(?=\[|[A-Z]))"
)
_EMBEDS = ("EmbedShare URLCopyEmbedCopy", "Embed")
_COUNT = re.compile(r"(?:\d+(?:\.\d+)?[KM]|\d+)$", re.ASCII)


def _page_header_end(text: str, start: int, end: int, title: str) -> int:
    """Where the page header ends that begins at `start`, or `start` if there is none."""
    head = text[start : min(end, start + _WINDOW)]
    contributors = _CONTRIBUTORS.match(head)
    after = contributors.end() if contributors else 0
    named = f"{title} Lyrics"
    if title and (at := head.find(named, after)) >= 0:
        at += len(named)
        attached = not head.startswith(tuple(" ,.;:!?-"), at)
        if contributors or (attached and (at == len(named) or head.startswith("Translations"))):
            return start + at
    bracket = head.find("[", after)
    if bracket > after and head.endswith("Lyrics", 0, bracket) and HEADER_START.match(head, bracket):
        return start + bracket
    if contributors and (at := head.find("Lyrics", after)) >= 0:
        return start + at + len("Lyrics")
    return start


def _remove_page_header(text: str, title: str) -> tuple[str, int]:
    if "Lyrics" not in text:
        return text, 0
    title = " ".join(title.split())
    removed = 0
    start, end = first_line(text)
    cut = start
    while cut < end and (header_end := _page_header_end(text, cut, end, title)) > cut:
        cut = header_end
        removed += 1
    return text[:start] + text[cut:].lstrip(" ") if removed else text, removed


def _remove_description(text: str, title: str) -> tuple[str, int]:
    if "Read More" not in text:
        return text, 0
    start, end = first_line(text)
    header_end = _page_header_end(text, start, end, " ".join(title.split()))
    pattern = _DESCRIPTION_AFTER_HEADER if header_end > start else _DESCRIPTION_ALONE
    if found := pattern.match(text, header_end, header_end + _WINDOW):
        return text[:header_end] + text[found.end() :].lstrip(" "), 1
    return text, 0


def _remove_offers(text: str, title: str) -> tuple[str, int]:
    return remove(_OFFERS, text, "\n") if "Get tickets as low as" in text else (text, 0)


def _remove_prompts(text: str, title: str) -> tuple[str, int]:
    return remove(_PROMPTS, text, "\n") if "You might also like" in text else (text, 0)


def _by_length(lines: list[str]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for line in lines:
        found.setdefault(len(line), set()).add(line)
    return found


def _before_count(text: str, start: int, end: int, lines: dict[int, set[str]]) -> int:
    """Where the line `text[start:end]` ends without the count of embeds at its end.

    Digits stay that make the line equal to one of `lines`, which are by length: of "Summer of 6912", "69" may belong to
    the lyrics.
    """
    count = _COUNT.search(text[max(start, end - 12) : end])
    if not count:
        return end
    shortest = end - len(count[0])
    for kept in range(end, shortest, -1):
        if kept - start in lines and text[start:kept] in lines[kept - start]:
            return kept
    return shortest


def _remove_embed(text: str, title: str) -> tuple[str, int]:
    if "Embed" not in text:
        return text, 0
    lines: dict[int, set[str]] = {}
    removed = 0
    start, end = last_line(text, len(text))
    lyrics_end, rest = end, text[end:]
    while embed := next((embed for embed in _EMBEDS if text.endswith(embed, start, end)), None):
        lines = lines or _by_length(text.split("\n"))
        end = _before_count(text, start, end - len(embed), lines)
        while end > start and text[end - 1] == " ":
            end -= 1
        removed += 1
        if start == end:
            start, end = last_line(text, start)
    return text[:end] + rest if end < lyrics_end else text, removed


RULES = (
    Rule(
        "Genius song descriptions",
        'A description of the song that ends in "Read More" is removed if it stands before the first line.',
        "12 ContributorsCopper Bell Lyrics“Copper Bell” is about a bell… Read More [Verse 1]\nRing it low",
        "Ring it low",
        _remove_description,
    ),
    Rule(
        "Genius page headers",
        'The number of contributors, the list of translations and "TITLE Lyrics" at the start of a song are removed.',
        "TranslationsEspañol12 ContributorsCopper Bell Lyrics[Verse 1]\nRing it low",
        "Ring it low",
        _remove_page_header,
        title="Copper Bell",
    ),
    Rule(
        "Genius ticket offers",
        '"See ARTIST Live" is removed if "Get tickets as low as" and a price follow, in the same line or the next.',
        "Ring it low\nSee Ann Example LiveGet tickets as low as $53\nRing it high",
        "Ring it low\nRing it high",
        _remove_offers,
    ),
    Rule(
        "Genius prompts",
        '"You might also like" is removed where it fills a line, or where the next line is attached to it.',
        "Ring it low\nYou might also likeRing it high",
        "Ring it low\nRing it high",
        _remove_prompts,
    ),
)

# Comes after all other rules: it compares the last line with the cleaned other lines.
EMBED = Rule(
    "Genius 'Embed' footers",
    '"Embed" and the number before it are removed at the end. Digits stay if another line of the song has them too.',
    "Room 12\nRing it low\nRoom 121.2KEmbed",
    "Room 12\nRing it low\nRoom 12",
    _remove_embed,
)
