"""Which columns of a table hold what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lyricbert.errors import UserError
from lyricbert.songs.formats.errors import NoLyricsError
from lyricbert.songs.formats.fields import make_record, names_of_fields
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.record import Record


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read: field of `Record` -> positions, the best first."""

    positions: dict[str, list[int]]

    @property
    def lyrics(self) -> int:
        """The position of the lyrics."""
        return self.positions["lyrics"][0]

    @property
    def used(self) -> list[int]:
        """All positions that are read, in ascending order."""
        return sorted({at for found in self.positions.values() for at in found})

    def record(self, row: Sequence[object]) -> Record:
        """The song of a row. The cells of columns that the row does not reach are empty."""
        size = len(row)
        return make_record({field: [row[at] for at in found if at < size] for field, found in self.positions.items()})


def find_columns(header: Iterable[object], options: ReadOptions, file: LyricsFile) -> Columns:
    """The columns of a table with this header. Case does not matter.

    Raises `NoLyricsError` if no column holds lyrics, and `UserError` for a title or artist that is not a column.
    """
    found = [str(name).strip() for name in header]
    lower = [name.lower() for name in found]
    positions = {
        field: [lower.index(name.lower()) for name in names if name.lower() in lower]
        for field, names in names_of_fields(options).items()
    }
    shown = [name[:30] for name in found[:30]]
    if not positions["lyrics"]:
        names = " or ".join(names_of_fields(options)["lyrics"])
        raise NoLyricsError(f"{file}: no column named {names} (found: {shown}); name it with --text-field")
    for flag, field in (("--title-field", options.title_field), ("--artist-field", options.artist_field)):
        if field and field.lower() not in lower:
            raise UserError(f"{file}: no column named {field} (found: {shown}); correct {flag}")
    return Columns({**positions, "lyrics": positions["lyrics"][:1]})
