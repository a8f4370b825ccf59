"""What a cleaning rule is, and what several rules share."""

import re
from collections.abc import Callable
from dataclasses import dataclass

# Longer text in brackets is no header. A limit also bounds the time that a pattern takes.
_HEADER = re.compile(r"\[[^\[\]\n]{0,300}\]")


@dataclass(frozen=True)
class Rule:
    """One kind of text that cleaning removes or changes.

    `name`: what it is, in plain words; `prepare` prints it beside the count. `documentation`: one sentence.
    `before`, `after`: an example for docs/cleaning.md, which is also a test; `title`: the title of that song.
    `apply(text, title)`: the changed text, and how often the rule changed it. It takes linear time.
    """

    name: str
    documentation: str
    before: str
    after: str
    apply: Callable[[str, str], tuple[str, int]]
    title: str = ""


def is_header(line: str) -> bool:
    """True if the whole line is in square brackets, such as `[Chorus]`."""
    return line[:1] == "[" and _HEADER.fullmatch(line) is not None


def first_line(text: str) -> tuple[int, int]:
    """Start and end of the first line that is neither blank nor a header; both are `len(text)` without such a line."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if start < end and not is_header(text[start:end]):
            return start, end
        start = end + 1
    return len(text), len(text)


def last_line(text: str, end: int) -> tuple[int, int]:
    """Start and end of the last line of `text[:end]` that is neither blank nor a header; (0, 0) without such a line."""
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        if start < end and not is_header(text[start:end]):
            return start, end
        end = start - 1
    return 0, 0


def remove(pattern: re.Pattern[str], text: str, between: str) -> tuple[str, int]:
    r"""Remove what `pattern`, which ends in `\n?`, matches. Returns the text and the number of matches.

    `between` separates text that was left and right of a match in one line. A line that becomes empty is removed with
    its line end, because a blank line would begin a new section.
    """

    def replacement(match: re.Match[str]) -> str:
        start, end = match.span()
        if start == 0 or text[start - 1] == "\n":
            return ""
        if text[end - 1] == "\n":
            return "\n"
        return "" if end == len(text) or text[end] in " ,.;:!?)]" else between

    return pattern.subn(replacement, text)


def changed_lines(before: str, after: str) -> int:
    """The number of lines that differ between two texts with the same number of lines."""
    return sum(old != new for old, new in zip(before.split("\n"), after.split("\n"), strict=True))
