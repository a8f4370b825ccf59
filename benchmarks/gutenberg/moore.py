"""Parses the songs in the plain text of Thomas Moore's poems: from the Irish Melodies to the Miscellaneous Poems."""

import re
from collections.abc import Iterator

from benchmarks.gutenberg.books import Song
from benchmarks.gutenberg.text import clean_line, join_short_sections, plain, title_of

_FIRST, _END = "\nIRISH MELODIES\n", "\nPOEMS FROM THE EPICUREAN\n"
_NOTE = re.compile(r"_?\[\d+\]|\(|SCENE|_")  # a footnote, or who sings and to which tune


def parse_moore(texts: list[str]) -> Iterator[Song]:
    """Yield the songs. More than four blank lines separate them; their first paragraph is the title."""
    (text,) = texts
    songs = plain(text[text.rindex(_FIRST) : text.index(_END)])
    for song in re.split(r"\n{6,}", songs):
        title, *paragraphs = re.split(r"\n{2,}", song.strip("\n"))
        verses = [paragraph for paragraph in paragraphs if not _NOTE.match(paragraph) and not paragraph.isupper()]
        sections = [tuple(filter(None, map(clean_line, verse.split("\n")))) for verse in verses]
        if any(sections):
            yield Song(title_of(title), "Thomas Moore", tuple(join_short_sections(list(filter(None, sections)))))
