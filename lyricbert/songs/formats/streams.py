"""Open lyrics files as streams of text, decompressed, and report what cannot be read."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, TextIO

from lyricbert.errors import UserError
from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.zst import ZstandardFile

_BLOCK = 1 << 16  # bytes
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00")  # gzip, zstd, zip, bzip2, xz


@contextmanager
def open_text(file: LyricsFile, newline: str = "") -> Iterator[TextIO]:
    """Open a file as a stream of text. A byte order mark is left out.

    `newline`: as in `open`. Raises `UserError` for a file that cannot be read, is damaged, or is not in UTF-8.
    """
    with read_errors_as_user_error(file), _open_binary(file) as binary:
        _refuse_other_content(binary, file)
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline=newline)
        try:
            yield text
        except UnicodeDecodeError as error:
            raise _not_utf8(file, error, binary) from None
        finally:
            text.detach()  # the block above closes the file, except standard input


@contextmanager
def read_errors_as_user_error(file: LyricsFile) -> Iterator[None]:
    """Re-raise what can go wrong while `file` is read as a `UserError`."""
    try:
        yield
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            advice = "check the file and its permissions"
            raise UserError(f"{file}: cannot be read ({error.strerror}); {advice}") from None
        raise damaged(file, error) from None


def damaged(file: LyricsFile, error: Exception) -> UserError:
    """The error to raise if `file` cannot be decompressed or, for Parquet, decoded."""
    kind = file.compression or file.format
    reason = str(error).partition("\n")[0]
    return UserError(f"{file}: damaged, or not a .{kind} file ({reason}); copy it again")


def _not_utf8(file: LyricsFile, error: UnicodeDecodeError, binary: io.BufferedReader) -> UserError:
    """`binary` was read up to the end of the block that `error` is about."""
    where = f" at position {binary.tell() - len(error.object) + error.start}" if binary.seekable() else ""
    byte = f"byte {error.object[error.start]:#04x}{where}"
    return UserError(f"{file}: not UTF-8 ({byte}); convert it, e.g. iconv -f latin1 -t utf-8")


def _refuse_other_content(binary: io.BufferedReader, file: LyricsFile) -> None:
    """Without a byte order mark, UTF-16 shows in the zero bytes of ASCII characters."""
    start = binary.peek(_BLOCK)
    if start.startswith(_COMPRESSED) and b"\x00" in start:
        raise UserError(f"{file}: not text but compressed, although its name or --format says otherwise; decompress it")
    if start.startswith(_UTF_16) or start.count(0) > len(start) // 5:
        raise UserError(f"{file}: not UTF-8 but UTF-16; convert it, e.g. iconv -f utf-16 -t utf-8")


@contextmanager
def _open_binary(file: LyricsFile) -> Iterator[io.BufferedReader]:
    if file.is_standard_input:
        buffered = _buffered(sys.stdin.buffer)
        try:
            yield buffered
        finally:
            buffered.detach()
    else:
        with open(file.location, "rb") as raw:
            yield _buffered(_decompressed(raw, file))


def _decompressed(raw: IO[bytes], file: LyricsFile) -> Any:
    if file.compression == "gz":
        return gzip.GzipFile(fileobj=raw)
    if file.compression == "zst":
        return ZstandardFile(raw, str(file))
    return raw


def _buffered(binary: Any) -> io.BufferedReader:
    return io.BufferedReader(binary, _BLOCK)
