"""Read songs from .json and .jsonl files, also those that lyricsgenius writes.

lyricsgenius saves, depending on its version:

    a song     an object with `lyrics`, and the artist in `artist` or in `primary_artist`; 1.x: inside a list `songs`
    an artist  an object with `name` (1.x: `artist`) and a list `songs`; several artists: an object with `artists`
    an album   an object with `artist` and a list `tracks`, whose items are songs or objects with `song`

1.x repeats what genius.com said of a song in `raw` or `json`; a dump of a Python object has it in `_body`.
"""

from collections.abc import Iterator
from typing import Any

from lyricbert.errors import UserError
from lyricbert.songs.formats.errors import NoLyricsError
from lyricbert.songs.formats.fields import label, make_record, names_of_fields
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.json_values import JSONError, decode, read_values
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.streams import open_text
from lyricbert.songs.record import Record

_CONTAINERS = ("songs", "tracks", "song", "artists", "_body")
_DETAILS = ("raw", "json")


def read_json(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the songs of a .json file. The items of a list are read one at a time. Raises `UserError`."""
    finder = _SongFinder(options)
    try:
        with open_text(file) as stream:
            for value in read_values(stream):
                yield from finder.songs(value)
    except JSONError as error:
        raise UserError(f"{file}: {error}; correct it, or name it .jsonl if each line is an object") from None
    if not finder.found:
        raise NoLyricsError(f"{file}: no {finder.wanted} field; {finder.remedy}")
    for _ in range(finder.missing):
        yield Record("")


def read_jsonl(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the songs of a .jsonl file, as a stream. Raises `UserError`."""
    finder = _SongFinder(options)
    without_lyrics = 0
    with open_text(file, newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                songs = list(finder.songs(decode(line)))
            except JSONError as error:
                raise UserError(f"{file}: line {number} is {error}; correct or remove the line") from None
            if not songs:
                without_lyrics = without_lyrics or number
            yield from songs
            if without_lyrics and finder.found:
                break
    if without_lyrics or not finder.found:
        kind = UserError if finder.found else NoLyricsError
        raise kind(f"{file}: line {without_lyrics or 1} has no {finder.wanted} field; {finder.remedy}")


class _SongFinder:
    """Finds the songs in values of JSON.

    `found`, `missing`: how many objects had a field with lyrics, and how many had neither that nor songs inside.
    """

    def __init__(self, options: ReadOptions):
        # Only `lyrics`, unless the user names another field: many JSON files have a `text` that is no lyrics.
        self._lyrics = options.text_field or "lyrics"
        self._names = {**names_of_fields(options), "lyrics": (self._lyrics,)}
        self.wanted = f"`{self._lyrics}`"
        self.remedy = "add one to each song, or name the field with --text-field"
        self.found = 0
        self.missing = 0

    def songs(self, value: object) -> Iterator[Record]:
        """Yield the songs in a value, in its order. A song without an artist has that of the object it is in."""
        stack: list[tuple[object, str]] = [(value, "")]  # no recursion, because lists can be deeply nested
        while stack:
            node, artist = stack.pop()
            if isinstance(node, list):
                stack.extend((item, artist) for item in reversed(node))
            elif isinstance(node, dict) and self._lyrics in node:
                self.found += 1
                yield self._record(node, artist)
            elif isinstance(node, dict):
                inner = [node[name] for name in _CONTAINERS if isinstance(node.get(name), list | dict)]
                artist = label(node.get("artist")) or ("songs" in node and label(node.get("name"))) or artist
                stack.extend((item, artist) for item in reversed(inner))
                self.missing += not inner

    def _record(self, node: dict[str, Any], artist: str) -> Record:
        objects = [node, *(node[name] for name in _DETAILS if isinstance(node.get(name), dict))]
        values = {field: [each.get(name) for each in objects for name in names] for field, names in self._names.items()}
        values["artist"].append(artist)
        return make_record(values)
