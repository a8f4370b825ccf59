"""Names of the fields that hold the lyrics, title, artist, genre, language and id of a song, in all known data sets."""

import math
from collections.abc import Mapping

from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.record import Record

# Field of `Record` -> names of columns or JSON fields, the best first, in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "lyrics": ("lyrics", "lyric", "text"),
    "title": ("title", "song", "song_name", "track_name", "sname"),
    "artist": ("artist", "artist_name", "primary_artist", "alink"),
    "genre": ("tag", "genre", "primary_tag", "tags"),
    "language": ("language", "language_ft", "language_cld3"),
    "id": ("id", "song_id", "track_id", "index", "link", "slink", "song_url"),
}


def names_of_fields(options: ReadOptions) -> dict[str, tuple[str, ...]]:
    """`NAMES`, with the names that the user gave in their place."""
    given = {"lyrics": options.text_field, "title": options.title_field, "artist": options.artist_field}
    return {**NAMES, **{field: (name,) for field, name in given.items() if name}}


def make_record(values: Mapping[str, list[object]]) -> Record:
    """A `Record` from the values that a source has for each field, the best first.

    The first value that is not empty counts. Lyrics that are not text are empty.
    """
    return Record(
        next((value for value in values["lyrics"] if isinstance(value, str)), ""),
        id=_first_label(values["id"]),
        title=_first_label(values["title"]),
        artist=_first_label(values["artist"]),
        genre=_first_label(values["genre"]),
        language=_first_label(values["language"]),
    )


def _first_label(values: list[object]) -> str:
    return next(filter(None, map(label, values)), "")


def label(value: object) -> str:
    """A value as text in one line. A list becomes its items, separated by commas, and an object becomes its name."""
    if isinstance(value, list):
        return ", ".join(filter(None, (label(item) for item in value if not isinstance(item, list))))
    if isinstance(value, dict):
        name = value.get("name")
        return "" if isinstance(name, list | dict) else label(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    # Text from JSON and file names can have lone surrogates, which cannot be written as UTF-8.
    return " ".join(str(value).split()).encode("utf-8", "replace").decode()
