"""Parse five hymnals: two plain-text books by Isaac Watts, and three collections in HTML.

The input has line breaks as "\\n". The songs keep the quotes and dashes of the book.
"""

import functools
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.gutenberg.books import Song, SongBook
from benchmarks.gutenberg.text import join_punctuation, join_short_sections

ABBREVIATED = re.compile(r"(?:&c|\betc)\.?\W*$")
CHORUS = re.compile(r"(?:Chorus\.|CHORUS\.)(?:--|\u2014)?\s*")

WATTS_HEADING = re.compile(r"^(?:Hymn \d+:\d+|(?<=\n\n)Psalm \d+)\b.*$", re.MULTILINE)
WATTS_PROSE = re.compile(r"^(?:\*{6}|End of the )", re.MULTILINE)
# Not a reference in the title, such as "1 Cor. 10. 16 17".
WATTS_FIRST_VERSE = re.compile(r"^1 (?!\w+\.? \d+[ .])", re.MULTILINE)
WATTS_VERSE_NUMBER = re.compile(r"^ *\[?\d+\.? ", re.MULTILINE)
# Marks of footnotes, quotes (repeated on every line), italics and brackets (around verses that may be left out).
WATTS_MARKS = re.compile(r"_?\[\d\]_?|\"'?|[_*\[\]]")

HTML_LINE = re.compile(r'<(p|div) class="[lt][c\d]?">(.*?)</\1>', re.DOTALL)
HTML_NOTE = re.compile(r'<span class="(?:vn|scripRef|rightish)">.*?</span>', re.DOTALL)


@dataclass(frozen=True)
class Markup:
    """Regular expressions for the HTML of one hymnal. `title` and `author` have one group.

    `hymn` matches the start of a hymn. `title` is searched before the first verse, `author` in the whole hymn.
    """

    collection: str
    hymn: str
    title: str
    author: str


CHRISTIAN_HYMN_BOOK = Markup(
    collection="The Christian Hymn Book",
    hymn=r'<div id="c\d+[a-z]*" class="hymn">',
    title=r'<p class="ttl">(.*?)</p>',
    author=r'<div class="author">(.*?)</div>',
)
CHRISTIAN_DEVOTION = Markup(
    collection="Hymns for Christian Devotion",
    hymn=r'<div class="hymn"',
    title=r'<p class="argument">(.*?)</p>',
    author=r'<span class="sc">([^<]*)</span></h3>',
)
BOOK_OF_HYMNS = Markup(
    collection="Book of Hymns for Public and Private Devotion",
    hymn=r'<div id="h\d+"',
    title=r"<h5>(.*?)</h5>",
    author=r'<p class="author">(.*?)</p>',
)


def parse_watts(texts: list[str]) -> Iterator[Song]:
    """Yield the hymns of a plain-text book by Watts. A hymn without a verse 1 is left out."""
    (text,) = texts
    headings = list(WATTS_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        hymn = WATTS_PROSE.split(text[heading.end() : end])[0]
        first = WATTS_FIRST_VERSE.search(hymn)
        if first:
            title = hymn[: first.start()].strip() or heading[0]
            paragraphs = re.split(r"\n\s*\n", hymn[first.start() :].rstrip())
            verses = (watts_lines(paragraph) for paragraph in paragraphs if is_watts_verse(paragraph))
            yield Song(clean_title(title), "Isaac Watts", make_sections(verses))


def is_watts_verse(paragraph: str) -> bool:
    """True for a numbered paragraph, and for one of four lines or more. Shorter ones are notes and headings."""
    if WATTS_VERSE_NUMBER.match(paragraph):
        return True
    return paragraph.count("\n") >= 3 and not re.match(r"Ver\.|\d", paragraph)


def watts_lines(paragraph: str) -> list[str]:
    """Split a verse into lines, without its number and marks."""
    verse = WATTS_MARKS.sub("", WATTS_VERSE_NUMBER.sub("", paragraph))
    verse = re.sub(r"\b0\b", "O", verse).replace(" 't ", "'t ")
    verse = re.sub(r"\ATO ", "To ", verse)
    return [join_punctuation(line) for line in verse.splitlines()]


def parse_html(texts: list[str], markup: Markup) -> Iterator[Song]:
    """Yield the hymns of an HTML book. A hymn without a title is named after its first line.

    A hymn in several parts is left out (one hymn).
    """
    (text,) = texts
    hymns = re.split(markup.hymn, text)[1:]
    for hymn in (hymn for hymn in hymns if '<h4 title="PART' not in hymn):
        head, *verses = hymn.split('<div class="verse">')
        sections = make_sections([plain_text(line[2]) for line in HTML_LINE.finditer(verse)] for verse in verses)
        title = clean_title(find_text(markup.title, head)) or sections[0][0].rstrip(",.;")
        author = re.sub(r"(?:, alt)?\.?$| \(.*\)$", "", find_text(markup.author, hymn).lstrip("*"))
        yield Song(title, author or markup.collection, sections)


def find_text(pattern: str, markup: str) -> str:
    """Return the plain text of the pattern's group, or "" without a match."""
    match = re.search(pattern, markup, re.DOTALL)
    return plain_text(match[1]) if match else ""


def plain_text(markup: str) -> str:
    """Return the text of a piece of HTML without verse numbers, references and square brackets."""
    return join_punctuation(html.unescape(re.sub(r"<[^>]*>|[\[\]]", "", HTML_NOTE.sub("", markup))))


def clean_title(title: str) -> str:
    """Put a title on one line, without a final "&c." and punctuation."""
    return re.sub(r",? (?:&c|etc)$", "", " ".join(title.split()).rstrip(".* ")).rstrip(",")


def make_sections(verses: Iterable[list[str]]) -> tuple[tuple[str, ...], ...]:
    """Split a chorus from its verse, drop abbreviated repeats, and merge a section of one line into the one before."""
    parts = [part for verse in verses for part in split_chorus(verse)]
    sections = [tuple(line for line in part if line and not ABBREVIATED.search(line)) for part in parts]
    return tuple(join_short_sections([section for section in sections if section]))


def split_chorus(verse: list[str]) -> list[list[str]]:
    """Start a new part at every line with the label of a chorus, and remove the label."""
    parts: list[list[str]] = [[]]
    for line in verse:
        label = CHORUS.match(line)
        if label:
            parts.append([])
        parts[-1].append(line[label.end() :] if label else line)
    return parts


BOOKS = (
    SongBook(
        id="pg13341",
        title="Hymns and Spiritual Songs (Watts)",
        year=1707,
        repository="GITenberg/Hymns-and-Spiritual-Songs_13341",
        commit="9bb4abed49159b15061b6ec29ea6a11c8be529b9",
        files=(("13341.txt", "6d45234d55370b615a70204e3ea49080756221306184f37c2ca7d4ba0faed38a"),),
        parse=parse_watts,
        is_hymnal=True,
    ),
    SongBook(
        id="pg13166",
        title="The Psalms of David Imitated (Watts)",
        year=1719,
        repository=(
            "GITenberg/The-Psalms-of-DavidImitated-in-the-Language-of-the-New-Testament-and-Applied-to-the-Christian"
            "__13166"
        ),
        commit="3a1f115cc77dab715eb535a22954b942399e1dbd",
        files=(("13166.txt", "7eed4aed71ea6c988310796ceda1917efa0d689375fdb78b4caa743df0e3ba19"),),
        parse=parse_watts,
        is_hymnal=True,
    ),
    SongBook(
        id="pg46041",
        title="The Christian Hymn Book",
        year=1865,
        repository="GITenberg/The-Christian-Hymn-Bookand-Selected-by-A.-Campbell-and-Others_46041",
        commit="abd2fe748b507fda5ab135ef0fc3fae6b1f52f1f",
        files=(("46041-h/46041-h.htm", "1ecabd27aa8411c526df28d1d27f0181ba6871b13a99cf4637f80aaa7e6f99c7"),),
        parse=functools.partial(parse_html, markup=CHRISTIAN_HYMN_BOOK),
        is_hymnal=True,
    ),
    SongBook(
        id="pg20476",
        title="Hymns for Christian Devotion",
        year=1853,
        repository=("GITenberg/Hymns-for-Christian-DevotionEspecially-Adapted-to-the-Universalist-Denomination_20476"),
        commit="6196bc7e228a999fa0e57902d9202c7916bac00d",
        files=(("20476-h/20476-h.htm", "44d22d3307bb2f228ad674894e28199418c877a45fc0e84ef548aeb0ce5c0b42"),),
        parse=functools.partial(parse_html, markup=CHRISTIAN_DEVOTION),
        is_hymnal=True,
    ),
    SongBook(
        id="pg33180",
        title="Book of Hymns for Public and Private Devotion",
        year=1848,
        repository="GITenberg/Book-of-Hymns-for-Public-and-Private-Devotion_33180",
        commit="c9491f086f81408802b8ec983f4104f4c2b108cc",
        files=(("33180-h/33180-h.htm", "053ee8e799d408018ecaac5879a91b649052ac11a8626051ca5064dfe1d45b1c"),),
        parse=functools.partial(parse_html, markup=BOOK_OF_HYMNS),
        is_hymnal=True,
    ),
)
