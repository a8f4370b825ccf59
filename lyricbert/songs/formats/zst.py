"""Read .zst files with the optional library zstandard."""

import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from lyricbert.songs.formats.optional import import_optional

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK = 1 << 16  # bytes
_LARGEST_WINDOW = 1 << 31  # bytes; what `zstd --long=31` writes


class ZstandardFile(io.RawIOBase):
    """The decompressed content of a .zst file.

    Raises `EOFError` if the file is damaged or ends early. The library's own reader does not report an early end.
    """

    def __init__(self, raw: IO[bytes], name: str):
        self._blocks = _decompress(raw, name)
        self._block = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        target = memoryview(buffer)
        size = min(len(target), len(self._block))
        target[:size] = self._block[:size]
        self._block = self._block[size:]
        return size


def _decompress(raw: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield non-empty blocks. A file consists of frames, one after the other."""
    library = import_optional("zstandard", name)
    decompressor = library.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    frame = decompressor.decompressobj()
    started = False
    while block := raw.read(_BLOCK):
        while block:
            if frame.eof:
                frame = decompressor.decompressobj()
            started = True
            try:
                content = frame.decompress(block)
            except library.ZstdError as error:
                raise EOFError(str(error)) from None
            if content:
                yield content
            block = frame.unused_data if frame.eof else b""
    if started and not frame.eof:
        raise EOFError("it ends early")
