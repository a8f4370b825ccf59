"""Downloads the files of a book, and checks that they are the expected ones."""

import hashlib
import http.client
import urllib.parse
import urllib.request

from benchmarks.gutenberg.books import Book
from lyricbert.errors import UserError

ORIGIN = "https://raw.githubusercontent.com"
_SECONDS = 60  # without an answer


def read_files(book: Book, origin: str) -> list[bytes]:
    """The files of a book from `origin`, a URL. Raises `UserError` if one cannot be read or is another one."""
    folder = f"{origin}/{book.repository}/{book.commit}"
    return [_read_file(f"{folder}/{urllib.parse.quote(path)}", digest) for path, digest in book.files]


def _read_file(url: str, digest: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            content: bytes = answer.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{url}: cannot be read ({reason}); check the network, or give --origin") from None
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise UserError(f"{url}: its SHA-256 is {found}, not {digest}; give the --origin of unchanged files")
    return content
