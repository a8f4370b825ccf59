"""What a book is: a repository at a fixed commit, its files with their checksums, and how they are read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Book:
    """A book of Project Gutenberg, from the public repositories of GITenberg on GitHub.

    `id`: prefix of the ids of its pieces. `files`: (path in the repository, SHA-256) of each file.
    """

    id: str
    title: str
    repository: str
    commit: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Song:
    """A song as it is printed. `sections`: the lines of each stanza or chorus."""

    title: str
    artist: str
    sections: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class SongBook(Book):
    """A book of songs.

    `year`: of the first publication. `parse`: from the texts of the files to all songs, in the order of the book.
    `is_hymnal`: hymns mention peoples of the Bible, so the words of `filters.PEOPLE` are allowed.
    """

    year: int
    parse: Callable[[list[str]], Iterator[Song]]
    is_hymnal: bool = False


@dataclass(frozen=True)
class Novel(Book):
    """A novel, in one file."""

    author: str
