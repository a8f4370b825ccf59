"""Finds the poems in the HTML of a book: a poem has the class "poem" or a similar one, or is a <pre> block."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from benchmarks.gutenberg.books import Song
from benchmarks.gutenberg.text import clean_line, join_short_sections, plain, title_of

_HEADINGS = frozenset({"h2", "h3", "h4", "h5"})
_SKIPPED_TAGS = frozenset({"style", "script", "title", "table", "h1", "sup"})
_SKIPPED_CLASSES = re.compile(r"^(pagenum|fnanchor|footnotes?|linenum|note\w*|fig\w+|sidenote|right|attrib)$")
_POEM = re.compile(r"^(poem|poetry|cpoem\w*)$")
_BLOCKS = frozenset({"p", "div"})
_VOID = frozenset({"br", "img", "hr", "input", "meta", "link"})


class _Poems(HTMLParser):
    """Collects `items`: ("heading", text) and ("poem", text), a poem with blank lines between its stanzas."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.items: list[tuple[str, str]] = []
        self._open: list[tuple[str, str]] = []  # (tag, what it contains: "skip", "heading", "poem", "stanza" or "")
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "h2":
            self._close_all()  # some poems are not closed
        kind = self._kind(tag, dict(attributes).get("class") or "")
        if kind in ("heading", "poem") and not self._is_in("poem"):
            self._text = []
        elif kind in ("heading", "stanza"):
            self._text.append("\n\n")  # a heading in a poem is the number of a stanza
        if tag == "br":
            self._text.append("\n")
        if tag not in _VOID:
            self._open.append((tag, kind))

    def _close_all(self) -> None:
        while self._open:
            self.handle_endtag(self._open[0][0])

    def handle_endtag(self, tag: str) -> None:
        if tag not in [of for of, _ in self._open]:
            return
        while self._open:
            found, kind = self._open.pop()
            if found in _BLOCKS:
                self._text.append("\n")
            if kind in ("heading", "stanza") and self._is_in("poem"):
                self._text.append("\n\n")
            elif kind in ("heading", "poem"):
                self.items.append((kind, "".join(self._text)))
            if found == tag:
                return

    def handle_data(self, data: str) -> None:
        kinds = {kind for _, kind in self._open}
        is_number = {"heading", "poem"} <= kinds
        if "skip" in kinds or is_number:
            return
        is_pre = any(tag == "pre" for tag, _ in self._open)
        self._text.append(data if is_pre else re.sub(r"\s+", " ", data))

    def _is_in(self, kind: str) -> bool:
        return any(of == kind for _, of in self._open)

    def _kind(self, tag: str, classes: str) -> str:
        if tag in _SKIPPED_TAGS or any(_SKIPPED_CLASSES.match(name) for name in classes.split()):
            return "skip"
        if tag in _HEADINGS:
            return "heading"
        if tag == "pre" or any(map(_POEM.match, classes.split())):
            return "" if self._is_in("poem") else "poem"
        return "stanza" if "stanza" in classes.split() else ""


def parse_poems(texts: list[str], artist: str) -> Iterator[Song]:
    """Yield the songs of a book: what stands under a heading is one song. Without a title, it has its first line."""
    for text in texts:
        parser = _Poems()
        parser.feed(text)
        title, sections = "", []
        for kind, content in [*parser.items, ("heading", "")]:
            if kind == "poem":
                sections += _sections_of(content)
                continue
            if sections:
                yield Song(title or sections[0][0], artist, tuple(join_short_sections(sections)))
            title, sections = title_of(plain(content)), []


def _sections_of(poem: str) -> list[tuple[str, ...]]:
    stanzas = re.split(r"\n\s*\n", plain(poem))
    verses = [stanza for stanza in stanzas if not re.match(r"\s*\[?Footnote", stanza)]
    sections = (tuple(filter(None, map(clean_line, verse.split("\n")))) for verse in verses)
    return [section for section in sections if section]
