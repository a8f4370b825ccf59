"""Split CSV and TSV files into rows, also those of writers that do not escape quotation marks.

Most files are strict CSV: a field that contains a quotation mark is quoted, and the mark is doubled. Some writers put
`"` around each field and leave the marks inside as they are. Strict CSV refuses such a row. The row is then split at
its separators, `","`.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator

from lyricbert.errors import UserError

# Characters. Bounds the memory if a quotation mark is never closed.
_LONGEST_FIELD = 1 << 24


class Table:
    """The rows of a CSV or TSV file. `header`: the names of the columns; empty if the file is empty.

    Raises `UserError` with the number of the line if the header or a row cannot be split.
    """

    def __init__(self, lines: Iterable[str], delimiter: str, name: str):
        csv.field_size_limit(_LONGEST_FIELD)
        self._lines = _Lines(lines)
        self._delimiter = delimiter
        self._name = name
        self._strict = csv.reader(self._lines, delimiter=delimiter, strict=True)
        try:
            self.header = next(self._strict, [])
        except csv.Error as error:
            raise self._error(str(error)) from None
        quoted = delimiter.join(f'"{name}"' for name in self.header)
        self._quotes_all = bool(self.header) and "".join(self._lines.row).rstrip("\r\n") == quoted

    def rows(self, lyrics_column: int) -> Iterator[list[str]]:
        """Yield the rows after the header, except empty lines. A row may have fewer fields than the header.

        `lyrics_column`: position of the lyrics. If a row must be split at its separators, the lyrics may contain some,
        so the fields before are counted from the start and those after from the end.
        """
        while True:
            self._lines.start_row()
            try:
                row = next(self._strict, None)
                problem = self._problem(row) if row else ""
            except csv.Error as error:
                row, problem = [], str(error)
            if problem:
                row = self._split_at_separators(lyrics_column)
                if row is None:
                    raise self._error(problem)
            if row is None:
                return
            if row:
                yield row

    def _problem(self, row: list[str]) -> str:
        """What shows that a row of strict CSV is not what the writer meant, or "" if nothing does."""
        columns = len(self.header)
        # Empty fields at the end may be too many or too few, but not too few where the writer quotes every field.
        if (len(row) > columns and any(row[columns:])) or (len(row) < columns and self._quotes_all):
            return f"{len(row)} fields, but the header has {columns}"
        # In a TSV file without quoting, a `"` at the start of a field can join several rows into one.
        if self._delimiter == "\t" and len(self._lines.row) > 1 and all(map(self._is_tsv_row, self._lines.row)):
            return "an unescaped quotation mark"
        # Where every field is quoted, an unescaped `"` at the end of a line of lyrics looks like the end of the row.
        if self._quotes_all and self._lines.row[0].startswith('"') and self._lines.following()[:1] not in ("", '"'):
            return "an unescaped quotation mark at the end of a line"
        return ""

    def _is_tsv_row(self, line: str) -> bool:
        return 0 < line.count("\t") == len(self.header) - 1

    def _split_at_separators(self, lyrics_column: int) -> list[str] | None:
        """Split the current row at each tab, or at each `","`. Returns None if it is neither kind of row."""
        if self._delimiter == "\t" and self._is_tsv_row(self._lines.row[0]):
            return self._lines.end_row(1).rstrip("\r\n").split("\t")
        separator = f'"{self._delimiter}"'
        count = self._lines_of_quoted_row(separator)
        if not count:
            return None
        text = self._lines.end_row(count).rstrip("\r\n")[1:-1]
        *before, rest = text.split(separator, lyrics_column)
        return before + rest.rsplit(separator, len(self.header) - 1 - lyrics_column)

    def _lines_of_quoted_row(self, separator: str) -> int:
        """How many lines the current row has if each of its fields is quoted; 0 if it is no such row.

        It ends with the first line that ends with a quotation mark, after enough separators, and before a line that
        looks like the start of another row.
        """
        if not self._lines.row[0].startswith('"'):
            return 0
        characters, separators, needed = 0, 0, len(self.header) - 1
        for count, (line, following) in enumerate(self._lines.pairs(), start=1):
            characters += len(line)
            separators += line.count(separator)
            starts_another = not following or (following.startswith('"') and (separator in following or not needed))
            if separators >= needed and line.rstrip("\r\n").endswith('"') and starts_another:
                return count
            if characters > _LONGEST_FIELD:
                break
        return 0

    def _error(self, problem: str) -> UserError:
        kind = "TSV" if self._delimiter == "\t" else "CSV"
        return UserError(f"{self._name}: not {kind} (line {self._lines.first}: {problem}); correct that line")


class _Lines:
    """Lines that can be read again from the start of the current row.

    `row`: the lines of the current row so far. `first`: the number of its first line, from 1.
    """

    def __init__(self, lines: Iterable[str]):
        self.row: list[str] = []
        self.first = 1
        self._lines = iter(lines)
        self._again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        return line

    def start_row(self) -> None:
        self.first += len(self.row)
        self.row.clear()

    def following(self) -> str:
        """The next line that is not blank, or "" at the end. It is read again."""
        for line in self._again:
            if line.strip():
                return line
        for line in self._lines:
            self._again.append(line)
            if line.strip():
                return line
        return ""

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield each line from the start of the current row on, and the line that follows it or "" at the end."""
        at = 0
        while at < len(self.row):
            following = self.row[at + 1] if at + 1 < len(self.row) else next(self, "")
            yield self.row[at], following
            at += 1

    def end_row(self, count: int) -> str:
        """End the current row after `count` lines, and return their text. The other lines are read again."""
        self._again.extendleft(reversed(self.row[count:]))
        del self.row[count:]
        return "".join(self.row)
