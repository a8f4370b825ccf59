"""Rules for repeat marks and for lines without words."""

import re

from lyricbert.songs.rules.headers import TIMES
from lyricbert.songs.rules.rule import Rule, remove

# "x3" without brackets only at the end of a line, and only in lower case: "my X5" is a car.
_REPEATS = re.compile(
    rf"(?: ?[(\[] ?(?i:(?:repeat )?(?:{TIMES}(?: times)?|[0-9]{{1,2}} times)) ?[)\]] ?)+\n?"
    r"|(?:^| )[x\xd7][0-9]{1,2}(?:\n|\Z)",
    re.MULTILINE,
)
# Much faster than the pattern above, because each begins with a set of characters.
_MAYBE_REPEATS = (re.compile(r"[xX\xd7] ?[0-9]"), re.compile(r"[0-9](?: ?[xX\xd7]| times)"))
_WORD = re.compile(r"\w")


def _remove_repeats(text: str, title: str) -> tuple[str, int]:
    if not any(mark.search(text) for mark in _MAYBE_REPEATS):
        return text, 0
    return remove(_REPEATS, text, " ")


def _remove_wordless(text: str, title: str) -> tuple[str, int]:
    lines = text.split("\n")
    kept = [line for line in lines if not line or _WORD.search(line)]
    return ("\n".join(kept), len(lines) - len(kept)) if len(kept) < len(lines) else (text, 0)


RULES = (
    Rule(
        "repeat marks",
        "`(x2)`, `[2x]`, `(repeat x3)` and `x4` at the end of a line are removed; the line is not repeated.",
        "Ring it low (x2)\nRing it high x3",
        "Ring it low\nRing it high",
        _remove_repeats,
    ),
    Rule(
        "lines without words",
        "A line without a letter, digit or underscore is removed.",
        "Ring it low\n***\nRing it high",
        "Ring it low\nRing it high",
        _remove_wordless,
    ),
)
