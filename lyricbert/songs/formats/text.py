"""Text files: one song, or the songs of an artist or album as lyricsgenius writes them."""

import re
from collections.abc import Iterator

from lyricbert.songs.formats.fields import label
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.streams import open_text
from lyricbert.songs.record import Record

# A line before each song: lyricsgenius 3.3 and later.
_TITLE_LINE = re.compile(r"^\[(?:Song|Track) \d+: (.*)\][ \t\r]*$", re.MULTILINE)
# Between songs in earlier versions: only a space, which follows the last and precedes the first words of Genius pages;
# in 1.0, five line ends and a space.
_BETWEEN = re.compile(
    r"(?<=\dEmbed) (?=\S)|(?<=Embed) (?=\d+ Contributor)|(?<=EmbedShare URLCopyEmbedCopy) (?=\S)|\n{5} (?=\S)"
)
_HINTS = ("Embed ", "EmbedCopy ", "\n\n\n\n\n ")  # one occurs in each match; looking for them first is 10 times as fast


def read_text(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the songs of a text file. A single song has the name of the file as its title."""
    with open_text(file) as stream:
        text = stream.read()
    if _TITLE_LINE.match(text.lstrip()):
        _, *parts = _TITLE_LINE.split(text)
        for title, lyrics in zip(parts[::2], parts[1::2], strict=True):
            yield Record(lyrics, title=label(title), artist=label(file.artist))
        return
    songs = _BETWEEN.split(text) if any(hint in text for hint in _HINTS) else [text]
    for lyrics in songs:
        title = file.stem if len(songs) == 1 else ""
        yield Record(lyrics, title=label(title), artist=label(file.artist))
