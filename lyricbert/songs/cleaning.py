"""Clean lyrics: remove what Genius pages add, and split the text into sections of lines."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

_SECTION_HEADER = re.compile(r"^\s*\[[^\[\]]*\]\s*$")
_GENIUS_PREAMBLE = re.compile(r"^\d+ Contributors?.*?Lyrics")
_GENIUS_EMBED = re.compile(r"\d*Embed$")
_GENIUS_TICKETS = r"See .{1,80} LiveGet tickets as low as \$\d+"
_GENIUS_PROMPTS = re.compile(rf"^(?:{_GENIUS_TICKETS})?You might also like(?=\S|$)|^{_GENIUS_TICKETS}", re.MULTILINE)
_INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ud800-\udfff\ufeff\u00ad]"
)
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Cleaned:
    """The cleaned text of a song. Each of its `sections` is a tuple of non-empty lines.

    `names` has the name of each section, such as "Chorus", or "" if the source gives none.
    """

    sections: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]


def clean(lyrics: str, dropped: Counter[str], title: str = "") -> Cleaned:
    """Split `lyrics` into sections of lines, at blank lines and at headers such as `[Chorus]`.

    Removes the text that Genius pages add to lyrics. `dropped` counts what is removed, by reason. `title`: the song's
    title, if the source has it.
    """
    text = unicodedata.normalize("NFC", lyrics).replace("\r\n", "\n").replace("\r", "\n").strip()
    without_preamble = _GENIUS_PREAMBLE.sub("", text)
    dropped["Genius page headers"] += without_preamble != text
    text = _GENIUS_EMBED.sub("", without_preamble)
    dropped["Genius 'Embed' footers"] += text != without_preamble
    # A prompt has no line break before the line or header that follows it.
    text, prompts = _GENIUS_PROMPTS.subn("\n", text)
    dropped["Genius prompts"] += prompts
    sections: list[tuple[str, ...]] = []
    section: list[str] = []
    for raw in text.split("\n"):
        line = " ".join(_INVISIBLE.sub("", raw).split())
        if _SECTION_HEADER.match(line):
            dropped["section headers"] += 1
        elif line and not _WORD.search(line):
            dropped["lines without words"] += 1
            continue
        elif line:
            section.append(line)
            continue
        if section:
            sections.append(tuple(section))
            section = []
    if section:
        sections.append(tuple(section))
    return Cleaned(tuple(sections), ("",) * len(sections))
