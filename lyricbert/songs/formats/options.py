"""What the user says about the sources."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """Which fields of a source are read, and which songs are kept. An empty value means that the user gave none.

    `text_field`, `title_field`, `artist_field`: names of the columns or JSON fields with the lyrics, title and artist.
    `language`: the code of the only language that is kept. `exclude_tags`: genres that are not kept.
    """

    text_field: str = ""
    title_field: str = ""
    artist_field: str = ""
    language: str = ""
    exclude_tags: tuple[str, ...] = ()
