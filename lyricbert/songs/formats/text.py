"""Text files: one song, or the songs of an artist or album as lyricsgenius writes them."""

import re
from collections.abc import Iterator

from lyricbert.songs.formats.fields import label
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.streams import open_text
from lyricbert.songs.record import Record

# lyricsgenius 3.3 and later: a line before each song.
_TITLE_LINE = re.compile(r"^\[(?:Song|Track) \d+: (.*)\][ \t\r]*$", re.MULTILINE)


def read_text(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the songs of a text file. Its name is the title if it has only one."""
    with open_text(file) as stream:
        text = stream.read()
    if _TITLE_LINE.match(text.lstrip()):
        _, *parts = _TITLE_LINE.split(text)
        for title, lyrics in zip(parts[::2], parts[1::2], strict=True):
            yield Record(lyrics, title=label(title))
    else:
        yield Record(text, title=label(file.stem), artist=label(file.artist))
