import numpy as np
import pytest

from lyricbert.batches.examples import section_examples
from lyricbert.batches.triplets import draw_triplets, held_out_triplets, labelled_sections
from lyricbert.errors import UserError
from lyricbert.songs.store import TRAIN, VALIDATION


def test_positives_are_of_the_same_song_and_negatives_of_another():
    song = np.repeat([3, 4, 9, 12], [2, 3, 1, 6])
    ids = np.arange(100, 112)
    positives, negatives = set(), set()
    for key in range(200):
        anchor, positive, negative = draw_triplets(song, ids, key)
        assert anchor.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]  # section 5 has no positive
        assert np.array_equal(song[anchor], song[positive])
        assert np.all(anchor != positive)
        assert np.all(song[anchor] != song[negative])
        positives |= set(zip(anchor.tolist(), positive.tolist(), strict=True))
        negatives |= set(zip(anchor.tolist(), negative.tolist(), strict=True))
    assert len(positives) == 2 * 1 + 3 * 2 + 6 * 5
    assert len(negatives) == 2 * 10 + 3 * 9 + 6 * 6


def test_one_song_gives_no_triplets():
    assert draw_triplets(np.array([5, 5, 5]), np.arange(3), 1).shape == (3, 0)


def test_a_choice_depends_on_the_key_and_the_number_of_the_anchor():
    song = np.repeat(np.arange(10), 5)
    one, same, other = (draw_triplets(song, np.arange(50), key) for key in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, draw_triplets(song, np.arange(50, 100), 1))


def test_labelled_sections_are_the_distinct_sections_of_songs_with_two(store):
    labelled = labelled_sections(store, TRAIN, max_length=64)
    distinct = section_examples(store, TRAIN)
    songs, counts = np.unique(store.song_of_line()[distinct.first_line], return_counts=True)
    assert len(labelled.sections) == len(labelled.song) == counts[counts >= 2].sum()
    assert np.array_equal(np.unique(labelled.song), songs[counts >= 2])
    assert labelled.songs == labelled.all_songs == (counts >= 2).sum()
    assert labelled.sections.lengths.max() <= 64
    assert np.array_equal(labelled.song, store.song_of_line()[labelled.sections.first_line])


def test_max_songs_limits_the_labelled_songs(store):
    few, other = (labelled_sections(store, TRAIN, 64, key, max_songs=5) for key in (1, 2))
    assert few.songs == len(np.unique(few.song)) == 5
    assert few.all_songs == labelled_sections(store, TRAIN, 64).songs
    assert not np.array_equal(few.song, other.song)
    with pytest.raises(UserError, match="two songs"):
        labelled_sections(store, VALIDATION, 64, max_songs=1)


def test_held_out_triplets_have_each_section_as_anchor_and_a_sample_has_the_same_triplets(store):
    every = held_out_triplets(store, 64, most=10_000)
    assert every.all_triplets == every.rows.shape[1] == len(every.sections)
    assert np.array_equal(np.sort(every.rows[0]), np.arange(len(every.sections)))
    few = held_out_triplets(store, 64, most=7)
    assert (few.rows.shape[1], few.all_triplets) == (7, every.all_triplets)
    assert np.array_equal(np.unique(few.rows), np.arange(len(few.sections)))
    assert np.array_equal(few.song, store.song_of_line()[few.sections.first_line])
    lines, fewer_lines = (set(map(tuple, each.sections.first_line[each.rows].T.tolist())) for each in (every, few))
    assert fewer_lines < lines
