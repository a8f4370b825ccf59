"""Packed rows: a row of fixed width holds several examples, so that all micro-batches have the same shape.

Which lengths share a row is decided once, from the number of examples of each length (Krell et al., "Efficient Sequence
Packing without Cross-contamination", 2021). The longest examples come first. Each goes into an open row with the least
sufficient room. Which examples of these lengths share a row is shuffled for each epoch.
"""

from collections import defaultdict

import numpy as np

from lyricbert.batches.sampler import EqualEpochSampler, LengthOrder, check_budget
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, permute


class PackedSampler(EqualEpochSampler):
    """Micro-batches of at most `tokens_per_batch // width` rows of `width` tokens. An epoch has each example once.

    `lengths`: integers [E], tokens of each example. The numbers of rows of two micro-batches differ by at most one.
    `shape`: the (rows, width) of every batch; rows may be empty.
    Raises `UserError` if an example or a row exceeds `tokens_per_batch`, or if there are too few rows for a step.
    """

    def __init__(self, lengths: np.ndarray, width: int, tokens_per_batch: int, global_micro_batches: int, seed: int):
        check_budget(lengths, tokens_per_batch, global_micro_batches)
        if width > tokens_per_batch:
            raise UserError(f"--tokens-per-batch {tokens_per_batch}: a packed row alone needs {width}; raise it")
        rows_per_batch = tokens_per_batch // width
        self.shape = (rows_per_batch, width)
        self._order = LengthOrder(lengths, seed)
        kinds = pack(self._order.counts, width)
        self._kind_ends = np.cumsum([count for count, _ in kinds])
        self._first_places = self._places_of(kinds)
        self.rows = int(self._kind_ends[-1])
        batches = -(-self.rows // rows_per_batch)
        batches += -batches % global_micro_batches
        if batches > self.rows:
            raise UserError(
                f"{self.rows} packed rows are too few for {global_micro_batches} micro-batches a step;"
                " lower --global-micro-batches or add songs"
            )
        super().__init__(batches, global_micro_batches, seed)

    def largest(self) -> list[np.ndarray]:
        return [self._batch(0, 0)]  # all have one shape

    def _batch(self, epoch: int, number: int) -> np.ndarray:
        batches = self.steps_per_epoch * self.global_micro_batches
        begin, end = (n * self.rows // batches for n in (number, number + 1))
        row = permute(derive_key("rows", self._seed, epoch), self.rows, np.arange(begin, end))
        kind = np.searchsorted(self._kind_ends, row, side="right")
        place = self._first_places[kind]
        filled = place >= 0
        # The n-th row of a kind holds the n-th of the examples that are set aside for each of its places.
        nth = row - (self._kind_ends - np.diff(self._kind_ends, prepend=0))[kind]
        examples = np.full(place.shape, -1)
        examples[filled] = self._order.at(epoch, (place + nth[:, None])[filled])
        return examples

    def _places_of(self, kinds: list[tuple[int, list[int]]]) -> np.ndarray:
        """int64 [kinds, S]: for each place in a kind of row, where its examples begin in the order by length.

        S is the maximum number of examples in a row. The value is -1 for places that a kind of row does not have.
        """
        free = {length: self._order.start_of(length) for length in np.flatnonzero(self._order.counts).tolist()}
        result = np.full((len(kinds), max(len(lengths) for _, lengths in kinds)), -1)
        for kind, (count, lengths) in enumerate(kinds):
            for place, length in enumerate(lengths):
                result[kind, place] = free[length]
                free[length] += count
        return result


def pack(counts: np.ndarray, width: int) -> list[tuple[int, list[int]]]:
    """Pack every example into a row. Returns kinds of rows: (number of rows, lengths of the examples in each).

    `counts`: int64 [longest + 1], the number of examples of each length. `width`: tokens in a row.
    """
    open_rows: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)  # by the room that is left
    for length in np.flatnonzero(counts)[::-1].tolist():
        left = int(counts[length])
        while left:
            room = min((room for room, kinds in open_rows.items() if kinds and room >= length), default=width)
            count, lengths = open_rows[room].pop() if room < width else (left, [])
            # As many of this length as fit into each row, and what is then left over into one row more.
            each = min(room // length, left)
            rows = min(count, left // each)
            open_rows[room - each * length].append((rows, lengths + [length] * each))
            if rows < count and room < width:
                open_rows[room].append((count - rows, lengths))
            left -= rows * each
    return [kind for kinds in open_rows.values() for kind in kinds]
