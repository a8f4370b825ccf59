from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lyricbert.batches.shapes import MOST_TARGET_COUNTS, Shapes, choose_widths, cut, target_counts


def padded_tokens(counts: np.ndarray, widths: np.ndarray) -> int:
    lengths = np.flatnonzero(counts)
    return int((counts[lengths] * widths[np.searchsorted(widths, lengths)]).sum())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(1, 12))
def test_widths_need_the_fewest_padded_tokens(counts, most):
    counts = np.array([0, *counts, 1])
    lengths = np.flatnonzero(counts)
    choices = choose_widths(counts, most)
    assert len(choices) == min(most, len(lengths))
    for k, widths in enumerate(choices, start=1):
        assert len(widths) == k
        assert (np.diff(widths) > 0).all()
        every = (np.array([*others, lengths[-1]]) for others in combinations(lengths[:-1].tolist(), k - 1))
        assert padded_tokens(counts, widths) == min(padded_tokens(counts, some) for some in every)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 90), max_size=300), st.integers(90, 500), st.integers(1, 20))
def test_an_evaluation_has_every_example_once_in_the_given_shapes(lengths, budget, most):
    lengths = np.array(lengths, np.int64)
    widths = choose_widths(np.bincount(np.append(lengths, 90)), most)[-1]
    shapes = Shapes.of_budget(widths, budget)
    allowed = set(zip(shapes.rows.tolist(), shapes.widths.tolist(), strict=True))
    batches = list(cut(lengths, shapes))
    assert sorted(np.concatenate([[], *(indices for indices, _ in batches)])) == list(range(len(lengths)))
    for indices, (rows, width) in batches:
        assert (rows, width) in allowed
        assert 0 < len(indices) <= rows
        assert lengths[indices].max() <= width
    assert all(len(indices) == rows for indices, (rows, _) in batches[:-1])


@pytest.mark.parametrize("rate", [0.001, 0.15, 0.4, 0.99, 1.0])
@pytest.mark.parametrize("most", [1, 2, 33, 128, 2048, 100_000])
def test_any_number_of_targets_is_rounded_up_to_one_of_a_few(most, rate):
    counts = target_counts(most, rate)
    assert (np.diff(counts) > 0).all()
    assert len(counts) < MOST_TARGET_COUNTS
    assert counts[0] >= 1
    assert counts[-1] == most


def test_the_usual_number_of_targets_is_rounded_up_little():
    counts = target_counts(2048, 0.15)
    targets = np.arange(200, 2049)
    assert (counts[np.searchsorted(counts, targets)] / targets).max() < 1.2
    assert (counts[np.searchsorted(counts, targets)] / targets).mean() < 1.1


def test_a_shape_is_added_for_held_out_examples_longer_than_all_others():
    shapes = Shapes.of_budget(np.array([5, 9]), 40)
    assert shapes.covering(9, 40) is shapes
    longer = shapes.covering(12, 40)
    assert longer.widths.tolist() == [5, 9, 12]
    assert longer.rows.tolist() == [8, 4, 3]
    assert shapes.covering(60, 40).rows.tolist() == [8, 4, 1]
