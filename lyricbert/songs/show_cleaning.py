"""Show what cleaning does to a sample of songs: `prepare --show-cleaning`."""

import difflib
import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

from lyricbert.hashing import derive_key
from lyricbert.songs.cleaning import Step, all_steps
from lyricbert.songs.record import Record

# The sample is from the first songs, so that a large corpus need not be read to its end.
_FIRST_SONGS = 10_000


def show_cleaning(records: Iterable[Record], count: int) -> str:
    """What each rule changes in a sample of `count` songs: lines before (-) and after (+).

    The sample is random, from the first 10,000 `records`, and always the same for the same lyrics.
    """
    sample = heapq.nsmallest(count, islice(records, _FIRST_SONGS), key=lambda record: derive_key(record.lyrics))
    return "\n".join(line for record in sample for line in _song(record)) or "no songs"


def _song(record: Record) -> Iterator[str]:
    yield _short(f"{record.title or record.id or 'a song without a title'} ({record.artist or 'unknown artist'})")
    steps = list(all_steps(record.lyrics, record.title))
    if not steps:
        yield "  nothing is removed or changed"
    for step in steps:
        yield f"  {step.rule.name}: {step.count}"
        yield from _changes(step)


def _changes(step: Step) -> Iterator[str]:
    before, after = step.before.split("\n"), step.after.split("\n")
    for operation, start, end, new_start, new_end in difflib.SequenceMatcher(None, before, after).get_opcodes():
        if operation != "equal":
            yield from (f"    - {_short(line)}" for line in before[start:end])
            yield from (f"    + {_short(line)}" for line in after[new_start:new_end])


def visible(text: str) -> str:
    """`text` with escapes such as \\u200b for characters that cannot be seen and for combining accents."""
    return "".join(
        character
        if character.isprintable() and not "\u0300" <= character <= "\u036f"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def _short(line: str) -> str:
    """`line` in one line of a terminal: the middle of a long line is left out."""
    return visible(line if len(line) <= 110 else f"{line[:70]} ... {line[-35:]}")
