"""Read .lrc files: lyrics with time stamps.

The format has no standard; these are the forms that players read. `[01:02.30]` before a line is its time in minutes
and seconds. A line that recurs has several. `<01:02.30>` or `[01:02.30]` inside a line is the time of a word. Lines
such as `[ti:Title]` come first.
"""

import re
from collections.abc import Iterator

from lyricbert.songs.formats.fields import label
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.streams import open_text
from lyricbert.songs.record import Record

_TIME = r"\d{1,4}:\d{1,2}(?:[.:,]\d{1,3})?"
_TIMES_OF_LINE = re.compile(rf"\s*((?:\[{_TIME}\]\s*)+)")
_TIMES_OF_WORDS = re.compile(rf"[<\[]{_TIME}[>\]]")
_NUMBERS = re.compile(r"\[(\d+):(\d+)(?:[.:,](\d+))?\]")
# Only known tags: "[Chorus: Everybody]" has the same form.
_TAG = re.compile(r"\s*\[(ar|ti|al|au|by|la|language|length|lr|offset|re|tool|ve|#)\s*:(.*)\]\s*", re.IGNORECASE)


def read_lrc(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the one song of an .lrc file, its lines in the order of their times."""
    tags: dict[str, str] = {}
    lines: list[tuple[float, str]] = []
    with open_text(file) as stream:
        for line in stream:
            if tag := _TAG.fullmatch(line):
                tags[tag[1].lower()] = label(tag[2])
            else:
                lines.extend(_timed_lines(line, lines[-1][0] if lines else 0.0))
    lines.sort(key=lambda line: line[0])
    yield Record(
        "\n".join(text for _, text in lines),
        title=tags.get("ti") or label(file.stem),
        artist=tags.get("ar") or label(file.artist),
        language=tags.get("la") or tags.get("language", ""),
    )


def _timed_lines(line: str, before: float) -> Iterator[tuple[float, str]]:
    """(time in seconds, text) for each time of a line. A line without times belongs to the time `before`."""
    times = _TIMES_OF_LINE.match(line)
    text = " ".join(_TIMES_OF_WORDS.sub(" ", line[times.end() if times else 0 :]).split())
    if times is None:
        yield before, text
    else:
        for minutes, seconds, fraction in _NUMBERS.findall(times[1]):
            yield int(minutes) * 60 + float(f"{seconds}.{fraction or 0}"), text
