"""Find lines and sections with the same text, also if their keys do not fit into memory."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from lyricbert.hashing import top_bits
from lyricbert.songs.joining.song_blocks import SongBlock
from lyricbert.songs.store import TRAIN, VALIDATION

# Bits of a line's flags.
KEPT, HELD_OUT, FIRST = np.uint8(1), np.uint8(2), np.uint8(4)
_KEYS_AT_ONCE = 2**20

# Calling it reads all keys, as (position of the first one, int64 [N]).
ReadKeys = Callable[[], Iterable[tuple[int, np.ndarray]]]


def drop_leaked_lines(flags: np.ndarray, blocks: list[SongBlock], name: str) -> int:
    """Remove KEPT from the validation lines that equal a training line. Returns how many.

    `flags`: uint8 [lines]. `name`: "line_keys" or "token_keys", the keys that are compared.
    """
    dropped = 0
    for places, keys in _in_ranges(_reader(blocks, name), len(flags)):
        kept, held_out = flags[places] & KEPT > 0, flags[places] & HELD_OUT > 0
        validation = np.flatnonzero(kept & held_out)
        leaked = places[validation[_is_in(keys[validation], keys[kept & ~held_out])]]
        flags[leaked] &= ~KEPT
        dropped += len(leaked)
    return dropped


def _is_in(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool [N]: whether each of `values` (int64 [N]) is one of `others`. Faster than `np.isin` for few values."""
    others = np.append(np.sort(others), np.iinfo(np.int64).max)
    found: np.ndarray = others[np.searchsorted(others[:-1], values)] == values
    return found


def mark_first_lines(flags: np.ndarray, blocks: list[SongBlock]) -> None:
    """Add FIRST to the first KEPT line of each split with these words. `flags`: uint8 [lines]."""
    for places, keys in _in_ranges(_reader(blocks, "line_keys"), len(flags)):
        for side in (0, HELD_OUT):
            members = flags[places] & (KEPT | HELD_OUT) == KEPT | side
            flags[places[_first_places(keys, members)]] |= FIRST


def first_occurrences(keys: np.ndarray, split: np.ndarray) -> np.ndarray:
    """bool [N]: True where a key occurs for the first time in its split.

    `keys`: int64 [N]. `split`: uint8 [N], TRAIN or VALIDATION.
    """
    first = np.zeros(len(keys), dtype=bool)

    def read() -> Iterator[tuple[int, np.ndarray]]:
        return ((start, keys[start : start + _KEYS_AT_ONCE]) for start in range(0, len(keys), _KEYS_AT_ONCE))

    for places, some in _in_ranges(read, len(keys)):
        for side in (TRAIN, VALIDATION):
            first[places[_first_places(some, split[places] == side)]] = True
    return first


def _first_places(keys: np.ndarray, members: np.ndarray) -> np.ndarray:
    """int64: where each key occurs for the first time among `members` (bool [N]). `keys`: int64 [N]."""
    candidates = np.flatnonzero(members)
    places: np.ndarray = candidates[np.unique(keys[candidates], return_index=True)[1]]
    return places


def _reader(blocks: list[SongBlock], name: str) -> ReadKeys:
    return lambda: ((block.lines.first, block.read(name)) for block in blocks)


def _in_ranges(read: ReadKeys, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (positions, keys), both int64 [N], of all keys in one range after the other, in order of their positions.

    Equal keys are in the same range. All keys are read once for each range.
    """
    ranges = 1 + count // _KEYS_AT_ONCE
    for number in range(ranges):
        places, keys = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for first, some in read():
            found = np.flatnonzero(top_bits(some, 20) * ranges >> 20 == number)
            places.append(first + found)
            keys.append(some[found])
        yield np.concatenate(places), np.concatenate(keys)
