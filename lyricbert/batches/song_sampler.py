"""The sampler of triplet training: micro-batches of whole songs, regrouped in each epoch.

In each epoch the songs are shuffled by hash. One after another, they go into the fullest open micro-batch that has room
(best fit, Johnson et al., "Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms", 1974). A song
with many tokens is split into parts. Two parts of a song are never in the same micro-batch. The groups do not depend on
the number of ranks.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np

from lyricbert.batches.batching import concatenated_ranges
from lyricbert.batches.sampler import Sampler
from lyricbert.errors import UserError
from lyricbert.hashing import derive_key, hash64, permute, top_bits

# More open micro-batches waste fewer tokens, but planning takes longer.
_MOST_OPEN = 8


@dataclass
class _Group:
    """A micro-batch while it is filled. `room`: tokens left. `extra`: a section that is only a negative, or None."""

    room: int
    parts: list[int] = field(default_factory=list)
    songs: set[int] = field(default_factory=set)
    extra: int | None = None

    def takes(self, song: int, size: int) -> bool:
        return size <= self.room and song not in self.songs

    def add(self, part: int, song: int, size: int) -> None:
        self.parts.append(part)
        self.songs.add(song)
        self.room -= size


class SongSampler(Sampler):
    """Micro-batches of whole songs. An epoch has each section once, apart from added negatives.

    A micro-batch is an int64 array of section indices, ascending. It has at least two songs, or it is empty. Empty
    micro-batches make their number in an epoch a multiple of `global_micro_batches`. A micro-batch with one song only
    also gets one section of another song, as a negative.

    `lengths`: integers [S], tokens of each section. `song`: int64 [S], ascending; each song has at least two sections.
    `padded_lengths`: integers [S], the tokens of each section in a padded row, for `largest`. Raises `UserError` if a
    song cannot be split into parts of at least two sections and at most half of `tokens_per_batch`.
    """

    version = 4

    def __init__(
        self,
        lengths: np.ndarray,
        song: np.ndarray,
        padded_lengths: np.ndarray,
        tokens_per_batch: int,
        global_micro_batches: int,
        seed: int,
    ):
        self.global_micro_batches = global_micro_batches
        self._tokens_per_batch, self._seed = tokens_per_batch, seed
        # Memory grows with the number of tokens and, in attention, also with the width of the rows.
        self._memory = padded_lengths * (1024 + padded_lengths)
        self._starts = split_songs(lengths, song, tokens_per_batch)
        self._counts = np.diff(self._starts, append=len(lengths))
        self._songs = song[self._starts].tolist()
        self._sizes = np.add.reduceat(lengths, self._starts, dtype=np.int64).tolist()
        self._first_steps = [0]  # the first step of each epoch that has been planned, and of the next one
        self._planned: tuple[int, list[np.ndarray]] = (-1, [])

    def steps(self, epochs: int) -> int:
        while len(self._first_steps) <= epochs:
            self._plan_next_epoch()
        return self._first_steps[epochs]

    def epoch_of(self, step: int) -> int:
        while self._first_steps[-1] <= step:
            self._plan_next_epoch()
        return bisect_right(self._first_steps, step) - 1

    def _plan_next_epoch(self) -> None:
        micro_batches = len(self._plan(len(self._first_steps) - 1))
        self._first_steps.append(self._first_steps[-1] + -(-micro_batches // self.global_micro_batches))

    def micro_batches(self, step: int, rank: int = 0, world_size: int = 1) -> list[np.ndarray]:
        epoch = self.epoch_of(step)
        first = (step - self.steps(epoch)) * self.global_micro_batches
        places = np.arange(first + rank, first + self.global_micro_batches, world_size)
        total = (self.steps(epoch + 1) - self.steps(epoch)) * self.global_micro_batches
        plan = self._plan(epoch)
        shuffled = permute(derive_key("batches", self._seed, epoch), total, places)
        return [plan[n] if n < len(plan) else np.zeros(0, np.int64) for n in shuffled]

    def largest(self) -> list[np.ndarray]:
        return [max(self._plan(0), key=lambda sections: int(self._memory[sections].sum()))]

    def _plan(self, epoch: int) -> list[np.ndarray]:
        """The micro-batches of an epoch, before they are shuffled."""
        if self._planned[0] != epoch:
            key = derive_key("songs", self._seed, epoch)
            order = np.argsort(hash64(key, np.arange(len(self._sizes))), kind="stable").tolist()
            groups = fill(order, self._sizes, self._songs, self._tokens_per_batch)
            for group in groups:
                if len(group.songs) == 1:
                    group.extra = self._section_of_another_song(group, order, key)
            self._planned = (epoch, [self._sections(group) for group in groups])
        return self._planned[1]

    def _section_of_another_song(self, group: _Group, order: list[int], key: int) -> int:
        draw = int(top_bits(hash64(key, np.array(group.parts[:1])), 62)[0])
        first = draw % len(order)
        part = next(part for part in order[first:] + order[:first] if self._songs[part] not in group.songs)
        return int(self._starts[part]) + draw % int(self._counts[part])

    def _sections(self, group: _Group) -> np.ndarray:
        parts = np.array(group.parts)
        sections = concatenated_ranges(self._starts[parts], self._counts[parts])
        return np.sort(sections if group.extra is None else np.append(sections, group.extra))


def fill(order: list[int], sizes: list[int], songs: list[int], tokens_per_batch: int) -> list[_Group]:
    """Put the parts, in this order, into groups of at most `tokens_per_batch` tokens.

    A song has at most one part in a group. `sizes`, `songs`: the number of tokens and the song of each part. A part has
    at most half of `tokens_per_batch`, so only groups that are left over at the end can have a single song.
    """
    open_groups: list[_Group] = []
    closed: list[_Group] = []
    for part in order:
        song, size = songs[part], sizes[part]
        fitting = [group for group in open_groups if group.takes(song, size)]
        if fitting:
            group = min(fitting, key=lambda group: group.room)
        else:
            full = [group for group in open_groups if len(group.songs) > 1]
            if full and len(open_groups) >= _MOST_OPEN:
                fullest = min(full, key=lambda group: group.room)
                open_groups.remove(fullest)
                closed.append(fullest)
            group = _Group(tokens_per_batch)
            open_groups.append(group)
        group.add(part, song, size)
    return closed + open_groups


def split_songs(lengths: np.ndarray, song: np.ndarray, tokens_per_batch: int) -> np.ndarray:
    """Split long songs into parts of consecutive sections. Returns the first section of each part: int64 [P].

    A song with at most half of `tokens_per_batch` is one part. A longer song is split into as few parts as possible.
    They have almost equal numbers of sections, at least two. Raises `UserError` if a part is then still too long.
    """
    most = tokens_per_batch // 2
    starts = np.flatnonzero(np.diff(song, prepend=-1))
    ends = np.append(starts[1:], len(song))
    before = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    is_long = before[ends] - before[starts] > most
    parts, needed = [starts[~is_long]], 0
    for first, end in zip(starts[is_long].tolist(), ends[is_long].tolist(), strict=True):
        cut, largest = _cut(before[first : end + 1], most)
        parts.append(first + cut)
        needed = max(needed, largest)
    if needed > most:
        raise UserError(
            f"--tokens-per-batch {tokens_per_batch}: a micro-batch needs room for two songs of {needed} tokens; raise"
            f" it to at least {2 * needed}, or lower --max-length"
        )
    return np.sort(np.concatenate(parts))


def _cut(before: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """(the first sections of the parts of a song with N sections: int64 [parts], the tokens of its largest part).

    `before`: int64 [N + 1], the tokens before each section and at the end. Cuts into as few parts as possible, so that
    none has more than `most` tokens, but into parts of at least two sections.
    """
    sections = len(before) - 1
    for parts in range(1, sections // 2 + 1):
        edges = np.arange(parts + 1) * sections // parts
        largest = int(np.diff(before[edges]).max())
        if largest <= most:
            break
    return edges[:-1], largest
