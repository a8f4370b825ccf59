"""Which texts are left out of the corpora."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from benchmarks.gutenberg.books import Song, SongBook

FEWEST_LINES, MOST_LINES, MOST_LINES_A_SECTION = 4, 300, 40
DUPLICATE_SHARE = 0.4
_WORD = re.compile(r"[a-z']+")
# Racial and sexual slurs: the first 16 hexadecimal digits of the SHA-256 of each word.
_SLURS = """
    0058beda64c0e33e 044eb98b18769b88 08a841e996781e9e 0be9b885f4a35a18 0dcc4d3364433181 120f6e5b4ea32f65
    1290d04b901d01be 1c4bfd100aa92982 268651b3ece98010 2f62eb857b87c418 31506a8448a761a4 341d56384afc0f47
    358e01df75c781bd 35ef747b9c42eda3 3af112eacdb74eec 448b303c89bef071 46505206c396cda4 469c0fdb6020d4bf
    517ae3f73216da64 522788b65f01ccc0 565ed74643e0189a 566f532d486c9477 5a9d9dcefb56e593 5b3ae48be122f7ed
    6122fdf4ae1474fb 619bc82e0d200e4a 6437ea7144483cfa 6939937b0ac62334 6ac3c336e4094835 701033ae26411908
    82159dd02870c13e 83bd72f7a1be797a 937d56e49744d206 98b52c4b6b7d1f48 9ae315a94e428a7e 9d57436661e1dce7
    9ee4d2748732a9bb a4d7510f2ea20b23 ad6cacf3af98d07b b06284df4611f6aa b3cec2f6ece2cef2 b690cdbe59f14b3b
    bb87adf8aa783887 be00f1af522eaa99 c1b4ed05397df5ee c3de533e9b7fe63b c709d1a287817777 cc02032349c833ac
    d0e3cb91d24958c5 d75a838dc758ba17 daec0c235d3135fc e7b98c6aa5b944e0 e9e8b6c5afa7794f eda887476f1dffc9
    eea2991640d1a5ca f0b59bcaa8569e30
"""
SLURS = frozenset(_SLURS.split())
# Songs outside the hymnals and paragraphs of novels with these words are left out, because some use a stereotype.
_PEOPLE = """
    4426e54cf6f33618 a9f41dffb6c61175 b9ef608311626a10 d88e3100dbfd6798 fa7418ee05920ee3
"""
PEOPLE = frozenset(_PEOPLE.split())


def has_word(text: str, hashes: frozenset[str]) -> bool:
    """True if a word of the text is in `hashes`."""
    words = {word.strip("'").removesuffix("'s") for word in _WORD.findall(text.lower())}
    return any(hashlib.sha256(word.encode()).hexdigest()[:16] in hashes for word in words)


def select_songs(book: SongBook, songs: Iterable[Song], seen: set[str], left_out: Counter[str]) -> Iterator[Song]:
    """Yield the songs to keep. Adds their lines to `seen`, the lines of earlier songs; counts the others by reason."""
    for song in songs:
        reason = _reason_to_leave_out(book, song, seen)
        if reason is not None:
            left_out[reason] += 1
            continue
        seen |= _normalised_lines(song)
        yield song


def _reason_to_leave_out(book: SongBook, song: Song, seen: set[str]) -> str | None:
    lines = [line for section in song.sections for line in section]
    if len(lines) < FEWEST_LINES:
        return f"under {FEWEST_LINES} lines"
    if len(lines) > MOST_LINES:
        return f"over {MOST_LINES} lines"
    if len(lines) > MOST_LINES_A_SECTION * len(song.sections):
        return "no stanza breaks"
    text = "\n".join([song.title, *lines])
    if has_word(text, SLURS) or (not book.is_hymnal and has_word(text, PEOPLE)):
        return "words"
    normalised = _normalised_lines(song)
    if len(normalised & seen) > DUPLICATE_SHARE * len(normalised):
        return "duplicate"
    return None


def _normalised_lines(song: Song) -> set[str]:
    """The lines in lower case, with a space for each run of other characters than letters and digits."""
    lines = {re.sub(r"[^a-z0-9]+", " ", line.lower()).strip() for section in song.sections for line in section}
    return lines - {""}
