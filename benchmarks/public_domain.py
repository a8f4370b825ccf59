"""Build a song corpus and a prose corpus from books of Project Gutenberg, by the rules in benchmarks/gutenberg.

    python benchmarks/public_domain.py songs --out songs.jsonl
    python benchmarks/public_domain.py prose --out prose.jsonl

The books come from the public repositories of GITenberg on GitHub, each at a fixed commit. Both corpora are JSON lines
that `lyricbert prepare` reads. The SHA-256 of each downloaded file and of the result are checked. Songs and
paragraphs with a racial or sexual slur are left out. So are paragraphs of novels, and songs outside the hymnals, that
mention Jews. Both lists of words are stored as hashes. All books were first published before 1929.

`--origin` is another URL with the files, laid out as OWNER/NAME/COMMIT/PATH, for example file:///mirror.
"""

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.gutenberg.books import Novel, SongBook
from benchmarks.gutenberg.download import ORIGIN, read_files
from benchmarks.gutenberg.filters import select_songs
from benchmarks.gutenberg.novel_books import NOVELS
from benchmarks.gutenberg.novels import pieces_of
from benchmarks.gutenberg.song_books import BOOKS
from benchmarks.gutenberg.text import body_of, decode, plain
from lyricbert.errors import UserError, run_command
from lyricbert.files import write_atomically, write_errors_as_user_error

SHA256 = {
    "songs": "b094ef2d8428f7ae7a506e7a1a9b5602913fe3488885fa34560213a2911620df",
    "prose": "4f63450141f3fccac7f4a2da0c60c6a49192afa3d6bcc10a7d34f9d738598bd8",
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=list(SHA256))
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--origin", default=ORIGIN, metavar="URL")
    options = parser.parse_args(arguments)
    if options.out.exists():
        raise UserError(f"{options.out}: exists; give another --out or remove it")
    if not os.access(options.out.parent, os.W_OK):
        raise UserError(f"{options.out.parent}: is not a directory that can be written to; give another --out")
    rows = songs_of(BOOKS, options.origin) if options.corpus == "songs" else prose_of(NOVELS, options.origin)
    write_corpus(
        options.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), SHA256[options.corpus]
    )


def songs_of(books: tuple[SongBook, ...], origin: str) -> Iterator[dict[str, object]]:
    """Yield the songs of all books as rows of the corpus. Prints the counts of each book."""
    seen: set[str] = set()
    for book in books:
        texts = [body_of(decode(content)) for content in read_files(book, origin)]
        left_out: Counter[str] = Counter()
        kept = list(select_songs(book, book.parse(texts), seen, left_out))
        sections = [section for song in kept for section in song.sections]
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "none"
        counts = f"{len(kept)} songs, {len(sections)} sections, {sum(map(len, sections))} lines"
        print(f"{book.id} {book.title}: {counts}; left out: {reasons}", file=sys.stderr, flush=True)
        for number, song in enumerate(kept, start=1):
            yield {
                "id": f"{book.id}-{number:04d}",
                "title": plain(song.title),
                "artist": plain(song.artist),
                "collection": book.title,
                "year": book.year,
                "lyrics": plain("\n\n".join("\n".join(section) for section in song.sections)),
            }


def prose_of(novels: tuple[Novel, ...], origin: str) -> Iterator[dict[str, object]]:
    """Yield the pieces of all novels as rows of the corpus. Prints the counts of each novel."""
    for novel in novels:
        (content,) = read_files(novel, origin)
        pieces, left_out = pieces_of(novel, body_of(decode(content)))
        print(f"{novel.id} {novel.title}: {len(pieces)} pieces; left out: {left_out} paragraphs", file=sys.stderr)
        yield from pieces


def write_corpus(out: Path, text: str, digest: str) -> None:
    """Write the corpus if its SHA-256 is `digest`. Raises `UserError` if not, or on a write error."""
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != digest:
        raise UserError(f"the corpus has the SHA-256 {found}, not {digest}; a rule in benchmarks/gutenberg has changed")
    with write_errors_as_user_error(out, "free some space or give another --out"), write_atomically(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
