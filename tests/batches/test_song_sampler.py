"""The sampler of triplet training, on made-up songs of a few to hundreds of sections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lyricbert.batches.song_sampler import SongSampler, split_songs
from lyricbert.errors import UserError


def make_sampler(counts, budget=512, micro_batches=4, seed=0, longest=64):
    """A sampler of songs with these numbers of sections of random lengths."""
    lengths = np.random.default_rng(seed).integers(5, longest + 1, size=sum(counts))
    song = np.repeat(np.arange(len(counts)) * 7, counts)  # songs of a split have gaps between their numbers
    return SongSampler(lengths, song, lengths, budget, micro_batches, seed), lengths, song


def epoch(sampler, number):
    steps = range(sampler.steps(number), sampler.steps(number + 1))
    return [batch for step in steps for batch in sampler.micro_batches(step)]


songs = st.lists(st.integers(2, 40), min_size=2, max_size=60)


@given(songs, st.integers(384, 3000), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_each_section_once_within_the_budget_with_another_song(counts, budget, micro_batches, number):
    sampler, lengths, song = make_sampler(counts, budget, micro_batches)
    batches = epoch(sampler, number)
    assert len(batches) % micro_batches == 0
    full = [batch for batch in batches if len(batch)]
    assert len(batches) - len(full) < micro_batches
    anchors = []
    for batch in full:
        assert lengths[batch].sum() <= budget
        assert np.all(np.diff(batch) > 0)
        found, inverse, count = np.unique(song[batch], return_inverse=True, return_counts=True)
        assert len(found) >= 2
        anchors.append(batch[count[inverse] >= 2])
        assert (count == 1).sum() <= 1  # a negative that joins a song that was left alone
    assert sorted(np.concatenate(anchors)) == list(range(len(lengths)))


def test_songs_are_whole_unless_they_are_long():
    sampler, lengths, song = make_sampler([4] * 300 + [30, 50])
    for batch in epoch(sampler, 1):
        for number in np.unique(song[batch]):
            whole = np.flatnonzero(song == number)
            in_batch = batch[song[batch] == number]
            assert len(in_batch) == len(whole) or lengths[whole].sum() > 256 or len(in_batch) == 1


def test_the_same_micro_batches_for_any_number_of_ranks_and_after_a_resume():
    sampler, _, _ = make_sampler([4, 5, 3, 9] * 50)
    for step in (0, 3, sampler.steps(1), sampler.steps(3) - 1):
        alone = sampler.micro_batches(step)
        resumed, _, _ = make_sampler([4, 5, 3, 9] * 50)
        for world_size in (1, 2, 4):
            shares = [resumed.micro_batches(step, rank, world_size) for rank in range(world_size)]
            together = [shares[n % world_size][n // world_size] for n in range(4)]
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_the_epoch_of_a_step():
    sampler, _, _ = make_sampler([4, 5, 3, 9] * 50)
    for number in (5, 0, 2):
        assert sampler.epoch_of(sampler.steps(number)) == number
        assert sampler.epoch_of(sampler.steps(number + 1) - 1) == number


def test_songs_meet_other_songs_in_each_epoch():
    sampler, _, song = make_sampler([5] * 200)
    partners = {number: set() for number in np.unique(song)}
    for number in range(6):
        for batch in epoch(sampler, number):
            found = set(song[batch])
            for one in found:
                partners[one] |= found - {one}
    assert np.mean([len(others) for others in partners.values()]) > 7  # about 2 in an epoch, few of them twice


def test_almost_all_of_the_budget_is_used():
    sampler, lengths, _ = make_sampler([3, 4, 5, 6, 8, 20] * 200, budget=1024)
    batches = epoch(sampler, 0)
    assert lengths.sum() / (len(batches) * 1024) > 0.95


def test_two_songs_and_a_song_that_is_left_alone():
    sampler, _, song = make_sampler([2, 2], budget=4096)
    assert [sorted(set(song[batch])) for batch in epoch(sampler, 0) if len(batch)] == [[0, 7]]
    lengths, song = np.full(12, 60), np.repeat([0, 1, 2], 4)  # two songs fill the budget, the third is left alone
    sampler = SongSampler(lengths, song, lengths, 480, 1, seed=0)
    added = set()
    for number in range(60):
        small, large = sorted(epoch(sampler, number), key=len)
        assert (len(small), len(large)) == (5, 8)
        alone = song[small][2]
        added |= {(alone, section) for section in small[song[small] != alone].tolist()}
    assert len(added) > 18  # of 24 pairs of a song and a section of another


def test_parts_of_a_very_long_song_get_different_negatives():
    sampler, _, song = make_sampler([400, 3, 3, 3, 3, 3])
    added = [int(batch[song[batch] != 0][0]) for batch in epoch(sampler, 0) if (song[batch] != 0).sum() == 1]
    assert len(added) > 20
    assert len(set(added)) > 5


def test_long_songs_are_split_into_parts_of_at_least_two_sections_and_half_the_budget():
    lengths = np.array([50, 60, 40, 30, 20, 10, 10, 64, 64, 64])
    song = np.array([1, 1, 1, 1, 1, 1, 1, 2, 2, 2])
    starts = split_songs(lengths, song, 400)
    assert starts.tolist() == [0, 3, 7]
    assert np.add.reduceat(lengths, starts).max() <= 200


@pytest.mark.parametrize(
    ("lengths", "song", "enough"),
    [
        ([60, 60, 9, 9], [0, 0, 1, 1], 240),
        ([40] * 3 + [9] * 2, [0, 0, 0, 1, 1], 240),
        ([60, 50, 9, 9, 9, 60] + [9] * 2, [0] * 6 + [1] * 2, 220),
    ],
)
def test_sections_that_are_too_long_for_two_songs_are_refused(lengths, song, enough):
    lengths, song = np.array(lengths), np.array(song)
    with pytest.raises(UserError, match=rf"--tokens-per-batch 200: .* raise it to at least {enough}, or lower"):
        SongSampler(lengths, song, lengths, 200, 1, 0)
    with pytest.raises(UserError, match="raise it"):
        SongSampler(lengths, song, lengths, enough - 2, 1, 0)
    assert SongSampler(lengths, song, lengths, enough, 1, 0).steps(1) >= 1


def test_micro_batches_are_shuffled():
    """The last ones to be filled, which have the most room left, are not always at the end of an epoch."""
    sampler, lengths, _ = make_sampler([4, 5, 3, 9] * 50)
    emptiest = [int(np.argmin([lengths[batch].sum() for batch in epoch(sampler, number)])) for number in range(8)]
    assert max(emptiest) - min(emptiest) > sampler.steps(1) * 4 // 4


def test_the_largest_micro_batch_has_the_most_padded_tokens_of_the_first_epoch():
    lengths = np.array([60, 60] * 4 + [64, 3] * 40)
    song = np.repeat(np.arange(44), 2)
    sampler = SongSampler(lengths, song, np.full(88, 64), 512, 1, seed=0)
    (largest,) = sampler.largest()
    assert len(largest) == max(len(batch) for batch in epoch(sampler, 0))
