"""Reads the text of a Project Gutenberg file."""

import re

_START = re.compile(r"\*\*\* ?START OF (?:THIS|THE) PROJECT GUTENBERG.*|\*END THE SMALL PRINT.*")
_END = re.compile(
    r"^End of (?:the |this )?Project Gutenberg|\*\*\* ?END OF (?:THIS|THE) PROJECT GUTENBERG", re.I | re.M
)
_QUOTES = dict.fromkeys("\u2018\u2019\u201b", "'") | dict.fromkeys("\u201c\u201d\u201e", '"')
_PLAIN = str.maketrans(_QUOTES | {"\u2014": "--", "\u2013": "-", "\u00a0": " "})


def decode(content: bytes) -> str:
    """The text of a file in UTF-8 or, failing that, Windows-1252, with \\n at the ends of lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    return text.replace("\r\n", "\n")


def body_of(text: str) -> str:
    """The book alone, without the header and the licence of Project Gutenberg."""
    start, end = _START.search(text), _END.search(text)
    # Old files have the small print at their end, too.
    first = start.end() if start and (end is None or start.end() < end.start()) else 0
    return text[first : end.start() if end else len(text)]


def plain(text: str) -> str:
    """The text with quotes and dashes in ASCII. Accents stay."""
    return text.translate(_PLAIN)
