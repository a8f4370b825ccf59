"""A song as its source has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One song of a source, before cleaning. A field that the source does not have is empty.

    `id`: the source's id of the song, otherwise the name of the file. `language`: a code such as "en".
    """

    lyrics: str
    id: str = ""
    title: str = ""
    artist: str = ""
    genre: str = ""
    language: str = ""
