"""Read .csv and .tsv files."""

from collections.abc import Iterator

from lyricbert.songs.formats.columns import find_columns
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.rows import Table
from lyricbert.songs.formats.streams import open_text
from lyricbert.songs.record import Record


def read_table(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the song of each row, as a stream. Raises `UserError`."""
    with open_text(file) as stream:
        table = Table(stream, "\t" if file.format == "tsv" else ",", str(file))
        columns = find_columns(table.header, options, file)
        for row in table.rows(columns.lyrics):
            yield columns.record(row)
