"""Rules for headers of sections."""

import re

from lyricbert.songs.rules.rule import Rule, is_header

# Words that begin a header. They need square brackets, or one of the other forms below.
_KINDS = (
    *("verse", "chorus", "pre-chorus", "post-chorus", "refrain", "pre-refrain", "intro", "outro", "hook", "pre-hook"),
    *("bridge", "interlude", "instrumental"),
    *("verso", "coro", "pre-coro", "estribillo", "pre-estribillo", "puente", "refrão", "pré-refrão"),  # es, pt
    *("couplet", "pré-refrain", "strophe", "refrein", "strofa", "ritornello"),  # fr, de, nl, it
    *("bölüm", "nakarat", "köprü", "zwrotka", "refren"),  # tr, pl
    *("куплет", "припев", "предприпев", "бридж", "интро", "аутро"),  # ru
)
# These may be sung: "(Break)". So they need square brackets.
_BRACKETED_KINDS = (
    *("break", "breakdown", "build", "drop", "part", "skit", "solo", "guitar solo", "vamp", "pont"),
    "ponte",
)


def _one_of(words: tuple[str, ...]) -> str:
    # Longest first, because "break" would hide "breakdown". "Pre-Chorus" is also written "Pre Chorus" and "Prechorus".
    return "|".join(word.replace("-", "[- ]?") for word in sorted(words, key=len, reverse=True))


_NUMBER = r"(?: ?(?:[0-9]{1,2}|[ivx]{1,4}|one|two|three|four|five)\b)"
# A repeat mark.
TIMES = r"(?:[x\xd7] ?[0-9]{1,2}|[0-9]{1,2} ?[x\xd7])"
_KIND = rf"(?:{_one_of(_KINDS)})"
_ANY_KIND = rf"(?:{_one_of(_KINDS + _BRACKETED_KINDS)})"
_PERFORMERS = r" ?[:(\u2013\u2014-]"

# The start of a header, which may continue in the next line.
HEADER_START = re.compile(
    rf"\[{_ANY_KIND}{_NUMBER}?(?:\]|{_PERFORMERS})|\[[^\[\]\n]{{0,300}}\](?:\n|\Z)", re.IGNORECASE
)
_BROKEN = re.compile(rf"\[{_ANY_KIND}{_NUMBER}?{_PERFORMERS}[^\[\]]{{0,100}}\]", re.IGNORECASE)
_BARE = re.compile(
    rf"\(((?:repeat )?{_KIND}{_NUMBER}?(?: ?:[^()\n]{{0,100}})?) ?{TIMES}?\)"
    rf"|({_KIND}{_NUMBER}?) ?:"
    rf"|({_KIND}[ ]?[0-9]{{1,2}})"
    rf"|({_KIND}{_NUMBER}?) ?[(\[]?{TIMES}[)\]]?",
    re.IGNORECASE,
)
_BARE_ENDS = ":)]0123456789xX\xd7"
_INLINE = re.compile(
    rf" ?(\[{_ANY_KIND}{_NUMBER}?(?:{_PERFORMERS}[^\[\]\n]{{0,150}})?(?: {TIMES})?\]) ?", re.IGNORECASE
)
_NAME_END = re.compile(rf" ?[:(\u2013\u2014]| - | {TIMES}$", re.IGNORECASE)
_WORD = re.compile(r"\w")


def name_of(header: str) -> str:
    """The name of the section that begins with `header`: "Verse 1" for `[Verse 1: Somebody]`."""
    name = _NAME_END.split(header[1:-1], maxsplit=1)[0].strip()
    return name if _WORD.search(name) else ""


def _join_headers(text: str, title: str) -> tuple[str, int]:
    joined = 0

    def join(match: re.Match[str]) -> str:
        nonlocal joined
        # A blank line ends a section, so a bracket that is open then was not closed.
        if "\n" not in match[0] or "\n\n" in match[0]:
            return match[0]
        joined += 1
        return " ".join(match[0].split())

    return (_BROKEN.sub(join, text), joined) if "[" in text else (text, 0)


def _bracket_headers(text: str, title: str) -> tuple[str, int]:
    lines = text.split("\n")
    bare = 0
    for number, line in enumerate(lines):
        if line and line[-1] in _BARE_ENDS and (match := _BARE.fullmatch(line)):
            lines[number] = f"[{next(filter(None, match.groups()))}]"
            bare += 1
    return ("\n".join(lines), bare) if bare else (text, 0)


def _separate_headers(text: str, title: str) -> tuple[str, int]:
    if f"\n{text}".count("\n[") == text.count("[") and f"{text}\n".count("]\n") == text.count("]"):
        return text, 0  # every header is alone in its line
    separated = 0

    def separate(match: re.Match[str]) -> str:
        nonlocal separated
        start, end = match.span()
        before = "" if start == 0 or text[start - 1] == "\n" else "\n"
        after = "" if end == len(text) or text[end] == "\n" else "\n"
        separated += bool(before or after)
        return before + match[1] + after

    return _INLINE.sub(separate, text), separated


def _remove_headers(text: str, title: str) -> tuple[str, int]:
    lines = text.split("\n")
    headers = sum(map(is_header, lines))
    return "\n".join("" if is_header(line) else line for line in lines), headers


RULES = (
    Rule(
        "headers over several lines",
        "A header such as `[Verse 1: SOMEBODY]` that is broken into lines is joined.",
        "[Verse 1:\nAnn Example\n& Bob Sample]\nRing it low",
        "Ring it low",
        _join_headers,
    ),
    Rule(
        "headers without square brackets",
        "`(Verse 2)`, `Chorus:`, `Verse 2` and `Chorus x2` become headers if they fill a line.",
        "Ring it low\n(Verse 2)\nRing it high\nChorus:\nRing",
        "Ring it low\n\nRing it high\n\nRing",
        _bracket_headers,
    ),
    Rule(
        "headers in a line of lyrics",
        "A header within a line gets a separate line if it names a known kind of section. `[softly] now` stays.",
        "[Chorus] Ring it low\n[softly] now",
        "Ring it low\n[softly] now",
        _separate_headers,
    ),
)

# Applied once, after all other rules, because it removes the names of the sections.
HEADERS = Rule(
    "section headers",
    "A line that is all in square brackets is removed and begins a section, named by the text up to a colon.",
    "[Verse 1: Ann Example]\nRing it low\n[Chorus]\nRing it high",
    "Ring it low\n\nRing it high",
    _remove_headers,
)
