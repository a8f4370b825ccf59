"""Decode JSON text as a stream."""

import json
import re
from collections.abc import Iterator
from typing import TextIO

_BLOCK = 1 << 20  # characters
_LONGEST_STRING = 1 << 24  # characters; bounds the memory if a quotation mark is never closed
_LONGEST_LITERAL = 16  # characters; a value cut off at the end of a block fails at most this far before the end
_SPACE = re.compile(r"[ \t\r\n]*")


class JSONError(Exception):
    """A text is not JSON. The message says why, and in which line."""


def read_values(stream: TextIO) -> Iterator[object]:
    """Yield the items of a list one at a time, or the only value if the text is not a list. Raises `JSONError`.

    A list can be larger than the memory. An empty text has no values.
    """
    text = _Text(stream)
    first = text.next_character()
    if first and first != "[":
        yield text.decode()
    elif first:
        text.skip()
        is_more = text.next_character() != "]"
        while is_more:
            yield text.decode()
            is_more = text.next_character() == ","
            if is_more:
                text.skip()
        if text.next_character() != "]":
            raise text.error("Expecting ',' delimiter")
        text.skip()
    if text.next_character():
        raise text.error("Extra data")


def decode(text: str) -> object:
    """The value of a JSON text. Raises `JSONError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise JSONError(f"not JSON ({error.msg}, line {error.lineno})") from None
    except (ValueError, RecursionError) as error:  # a number with thousands of digits; too many nested brackets
        raise JSONError(f"not JSON that Python can read ({error})") from None


class _Text:
    """JSON text that is read and discarded block by block."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._lines_before = 0

    def next_character(self) -> str:
        """The next character that is not white space, or "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def skip(self) -> None:
        """Skip the next character."""
        self._at += 1

    def decode(self) -> object:
        """Decode the next value."""
        self.next_character()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                missing = len(self._text) - error.pos
                is_cut_off = missing < (_LONGEST_STRING if error.msg.startswith("Unterm") else _LONGEST_LITERAL)
                problem = self.error(error.msg, error.pos)
                if is_cut_off and self._read():
                    continue
                raise problem from None
            except (ValueError, RecursionError) as error:
                raise JSONError(f"not JSON that Python can read ({error})") from None
            if end == len(self._text) and self._read():  # a number can continue in the next block
                continue
            self._at = end
            return value

    def error(self, message: str, at: int | None = None) -> JSONError:
        line = self._lines_before + self._text.count("\n", 0, self._at if at is None else at) + 1
        return JSONError(f"not JSON ({message}, line {line})")

    def _read(self) -> bool:
        """Read another block, as large as the text that is kept. Returns False at the end."""
        self._lines_before += self._text.count("\n", 0, self._at)
        kept = self._text[self._at :]
        block = self._stream.read(max(_BLOCK, len(kept)))
        self._text, self._at = kept + block, 0
        return bool(block)
