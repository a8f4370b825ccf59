"""Read .parquet files with the optional library pyarrow."""

from collections.abc import Iterator

from lyricbert.songs.formats.columns import find_columns
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.optional import import_optional
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.streams import damaged, read_errors_as_user_error
from lyricbert.songs.record import Record

_ROWS_AT_ONCE = 1024


def read_parquet(file: LyricsFile, options: ReadOptions) -> Iterator[Record]:
    """Yield the song of each row. One row group is in memory at a time. Raises `UserError`."""
    arrow = import_optional("pyarrow", str(file))
    parquet = import_optional("pyarrow.parquet", str(file))
    try:
        with read_errors_as_user_error(file), parquet.ParquetFile(file.location) as table:
            names = table.schema_arrow.names
            used = [names[at] for at in find_columns(names, options, file).used]
            columns = find_columns([name for name in names if name in used], options, file)
            for group in range(table.num_row_groups):  # without this loop, pyarrow keeps the groups it has read
                for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=used):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        yield columns.record(row)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise damaged(file, error) from None
