"""Parse five hymnals: two by Isaac Watts (plain text) and three collections (HTML)."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gutenberg.text import Song

HEADING = re.compile(r"^(?:Hymn|Psalm) \d+(?::\d+)?\b.*$", re.MULTILINE)
PAUSE = re.compile(r"^_?PAUSE\b.*\n?", re.MULTILINE)
VERSE_NUMBER = re.compile(r"^\d+ ")
ABBREVIATED = re.compile(r"(?:&c|\betc)\.?\W*$")
LINE = re.compile(r'<(p|div) class="[lt]\d?">(.*?)</\1>', re.DOTALL)
NOTE = re.compile(r'<span class="(?:vn|scripRef|rightish)">.*?</span>', re.DOTALL)


def parse_watts(texts: list[str]) -> Iterator[Song]:
    """Yield the hymns of a plain-text book by Watts."""
    (text,) = texts
    text = PAUSE.sub("", text)
    starts = list(HEADING.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    for start, end in zip(starts, ends, strict=True):
        paragraphs = re.split(r"\n\s*\n", text[start.end() : end].split("\n\n\n")[0].strip())
        first = next((n for n, paragraph in enumerate(paragraphs) if paragraph.startswith("1 ")), 1)
        title = " ".join(paragraphs[:first]) or start[0]
        yield Song(clean_title(title), "Isaac Watts", make_sections(clean_watts(p) for p in paragraphs[first:]))


def clean_watts(p: str) -> list[str]:
    p = re.sub(r'["_*\[\]]', "", VERSE_NUMBER.sub("", p))
    return re.sub(r"\s+([;:!?,.])", r"\1", p).splitlines()


def clean_title(title: str) -> str:
    title = " ".join(title.split()).rstrip(". ")
    return re.sub(r",? (?:&c|etc)$", "", title)


def make_sections(sections) -> tuple[tuple[str, ...], ...]:
    """Drop abbreviated repeats, and merge a section of one line into the one before it."""
    merged: list[tuple[str, ...]] = []
    for section in sections:
        lines = tuple(line.strip() for line in section if line.strip() and not ABBREVIATED.search(line))
        if len(lines) == 1 and merged:
            merged[-1] += lines
        elif lines:
            merged.append(lines)
    return tuple(merged)


@dataclass(frozen=True)
class Markup:
    collection: str
    hymn: str
    title: str
    author: str


def plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", NOTE.sub("", markup))).split())


def parse_html(text: str, m: Markup) -> Iterator[Song]:
    for hymn in re.split(m.hymn, text)[1:]:
        head, *verses = hymn.split('<div class="verse">')
        sections = make_sections([plain(x[1]) for x in LINE.findall(v)] for v in verses)
        if not sections:
            continue
        t = re.search(m.title, head, re.DOTALL)
        a = re.search(m.author, hymn, re.DOTALL)
        title = clean_title(plain(t[1]) if t else "")
        artist = plain(a[1]).lstrip("*").rstrip(".") if a else ""
        artist = re.sub(r", (?:alt|varied)$", "", artist)
        yield Song(title or sections[0][0].rstrip(",.;:!"), artist or m.collection, sections)

M46 = Markup("The Christian Hymn Book", r'<div id="c\d+[a-z]*" class="hymn">', r'<p class="ttl">(.*?)</p>', r'<div class="author">(.*?)</div>')
M20 = Markup("Hymns for Christian Devotion", r'<div class="hymn"', r'<p class="argument">(.*?)</p>', r'<span class="sc">([^<]*)</span></h3>')
M33 = Markup("Book of Hymns for Public and Private Devotion", r'<div id="h\d+"', r'<h5>(.*?)</h5>', r'<p class="author">(.*?)</p>')
