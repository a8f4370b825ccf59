"""Reads the text of a Project Gutenberg file."""

import re
import string

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


_NUMBER = re.compile(r"[\W\d_]*|[IVXLC]+[.:]?")
_REFERENCE = re.compile(r"\[\d+\]|\(\d+\)|\^\d+|\s\d+$|^\s*\d+\.\s")  # of a footnote, or the number of a line
_LABEL = re.compile(r"(?:Chorus|CHORUS|Solo)\.?|Tune\b.*")
_CONTRACTION = re.compile(r"\s+(?='(?:s|ll|m|re|ve|t)\b)")


def clean_line(line: str) -> str:
    """A line of verse without notes, numbers, labels and marks of italics.

    Empty if nothing else is in it, or if it ends in "&c.", which stands for the rest of a repeated line.
    """
    line = re.sub(r"^(?:Chor|Chorus)\.?--", "", _REFERENCE.sub("", line).strip())
    line = join_punctuation(_CONTRACTION.sub("", re.sub(r"[_\[\]{}*]", "", line)))
    if re.search(r"&c\.?\W*$", line) or _NUMBER.fullmatch(line) or _LABEL.fullmatch(line):
        return ""
    return re.sub(r"^[A-Z]{2,}(?= [a-z])", lambda word: word[0].capitalize(), line)  # an initial in small capitals


def join_punctuation(line: str) -> str:
    """The line with single spaces, and none before a punctuation mark."""
    return re.sub(r" ([.,;:!?])", r"\1", " ".join(line.split()))


def title_of(heading: str) -> str:
    """The title in a heading. Empty if the heading is a number."""
    title = " ".join(re.sub(r"[_*]", "", _REFERENCE.sub("", heading)).split()).strip(" .,;:-")
    title = re.sub(r"^(\d+|[IVXLC]+)\.\s+", "", title)
    return "" if _NUMBER.fullmatch(title) else string.capwords(title) if title.isupper() else title


def join_short_sections(sections: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The sections of a song, each of one line joined to the one before."""
    joined: list[tuple[str, ...]] = []
    for section in sections:
        if joined and len(section) == 1:
            joined[-1] += section
        else:
            joined.append(section)
    return joined
