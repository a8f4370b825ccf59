"""Rules for characters: line ends, invisible characters, HTML, accents, spaces."""

import html
import re
import unicodedata
from html.entities import html5

from lyricbert.songs.rules.rule import Rule, changed_lines

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_BREAK = re.compile(r"<br\b[^<>\n]{0,100}>[ \t]{0,20}\n?", re.IGNORECASE)
# The characters at which str.splitlines splits. CR CR LF is one line end: some programs write LF as CR LF twice.
_UNUSUAL = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # `re` has a fast loop for a single set of characters
_LINE_END = re.compile("\r+\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Control characters, zero-width characters, marks of the writing direction, and halves of surrogate pairs.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ud800-\udfff]"
)
# More marks than any language needs, see "Stream-Safe Text Format" in Unicode Standard Annex 15. Putting a longer run
# into NFC takes quadratic time.
_MOST_ACCENTS = 30
# A superset of the marks. The ranges without marks come first, because they are faster to test.
_MARKS = re.compile(rf"[^\x00-\u02ff\u2000-\u20cf\w\s]{{{_MOST_ACCENTS + 1},}}")


def _decode_entities(text: str, title: str) -> tuple[str, int]:
    if "&" not in text:
        return text, 0
    decoded = 0

    def decode(match: re.Match[str]) -> str:
        nonlocal decoded
        # Without this check, `html.unescape` would make "¬it;" of "&notit;".
        if match[0][1] != "#" and match[0][1:] not in html5:
            return match[0]
        decoded += 1
        return html.unescape(match[0]).replace("\ufffd", "")

    return _ENTITY.sub(decode, text), decoded


def _break_lines(text: str, title: str) -> tuple[str, int]:
    return _BREAK.subn("\n", text) if "<" in text else (text, 0)


def _unify_line_ends(text: str, title: str) -> tuple[str, int]:
    if not _UNUSUAL.search(text):
        return text, 0

    def newlines(match: re.Match[str]) -> str:
        return "\n" if match[0].endswith("\n") else "\n" * len(match[0])

    return _LINE_END.subn(newlines, text)


def _remove_invisible(text: str, title: str) -> tuple[str, int]:
    return _INVISIBLE.subn("", text)


def _limit_accents(text: str, title: str) -> tuple[str, int]:
    if text.isascii():
        return text, 0

    def limit(match: re.Match[str]) -> str:
        kept, run = [], 0
        for character in match[0]:
            run = run + 1 if unicodedata.combining(character) else 0
            if run <= _MOST_ACCENTS:
                kept.append(character)
        return "".join(kept)

    limited = _MARKS.sub(limit, text)
    return limited, len(text) - len(limited)


def _compose(text: str, title: str) -> tuple[str, int]:
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text, 0
    composed = unicodedata.normalize("NFC", text)
    return composed, changed_lines(text, composed)


def _collapse_spaces(text: str, title: str) -> tuple[str, int]:
    collapsed = "\n".join([" ".join(line.split()) for line in text.split("\n")])
    return collapsed, 0 if collapsed == text else changed_lines(text, collapsed)


RULES = (
    Rule(
        "unusual line ends",
        "CR, CR LF, CR CR LF, vertical tab, form feed, NEL, U+2028 and U+2029 each become one newline.",
        "Hold the lantern\r\nMind the stair\u2028All the way down",
        "Hold the lantern\nMind the stair\nAll the way down",
        _unify_line_ends,
    ),
    Rule(
        "invisible characters",
        "Control characters, zero-width characters, marks of the writing direction and lone surrogates are removed.",
        "Hold the lan\u200btern\ufeff",
        "Hold the lantern",
        _remove_invisible,
    ),
    Rule(
        "HTML entities",
        "An HTML entity with its semicolon, such as `&amp;`, becomes the character that it stands for.",
        "Salt &amp; pepper, don&#39;t you know",
        "Salt & pepper, don't you know",
        _decode_entities,
    ),
    Rule(
        "HTML line breaks",
        "`<br>`, alone or before a line end, becomes one line end.",
        "Hold the lantern<br>Mind the stair<br />\nAll the way down",
        "Hold the lantern\nMind the stair\nAll the way down",
        _break_lines,
    ),
    Rule(
        "accents beyond 30 on one letter",
        "A letter keeps at most 30 combining marks.",
        "Mind the fox" + "\u0323" * 32,
        "Mind the fox" + "\u0323" * 30,
        _limit_accents,
    ),
    Rule(
        "lines not in Unicode form NFC",
        "A letter followed by an accent becomes one accented letter (Unicode normalization form NFC).",
        "Au cafe\u0301",
        "Au caf\u00e9",
        _compose,
    ),
    Rule(
        "lines with extra spaces",
        "Tabs, special spaces and runs of spaces become one space; a line neither begins nor ends with a space.",
        "  Hold\u2005the \t lantern",
        "Hold the lantern",
        _collapse_spaces,
    ),
)
