import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lyricbert.batches import sampler as sampler_module
from lyricbert.batches.sampler import LengthBucketSampler, resolve_micro_batches
from lyricbert.batches.shapes import MOST_SHAPES, cut
from lyricbert.errors import UserError


def sampler_of(count: int, budget: int = 128, multiple: int = 4, seed: int = 0, longest: int = 40):
    lengths = np.random.default_rng(seed).integers(3, longest, size=count)
    return lengths, LengthBucketSampler(lengths, budget, multiple, seed)


def epoch(sampler: LengthBucketSampler, number: int) -> list[np.ndarray]:
    steps = range(number * sampler.steps_per_epoch, (number + 1) * sampler.steps_per_epoch)
    return [batch[:, 0] for step in steps for batch in sampler.micro_batches(step)]


@pytest.mark.parametrize("count", [4, 5, 17, 100, 1003])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_every_example_is_in_one_batch_per_epoch(count, multiple):
    lengths, sampler = sampler_of(count, multiple=multiple)
    for number in range(3):
        batches = epoch(sampler, number)
        assert sorted(np.concatenate(batches)) == list(range(count))
        assert all(len(batch) * lengths[batch].max() <= 128 for batch in batches)


def test_the_same_examples_in_a_step_for_any_number_of_ranks():
    _, sampler = sampler_of(500)
    for step in (0, 1, sampler.steps_per_epoch, 2 * sampler.steps_per_epoch + 3):
        alone = sampler.micro_batches(step)
        for world_size in (2, 4):
            shares = [sampler.micro_batches(step, rank, world_size) for rank in range(world_size)]
            assert {len(share) for share in shares} == {4 // world_size}
            together = [shares[n % world_size][n // world_size] for n in range(4)]
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_step_depends_only_on_its_index():
    _, walked = sampler_of(500)
    for step in range(2 * walked.steps_per_epoch + 2):
        reached = walked.micro_batches(step)
    _, jumped = sampler_of(500)
    assert all(np.array_equal(a, b) for a, b in zip(reached, jumped.micro_batches(step), strict=True))


def test_batches_are_full_and_shuffled_and_have_similar_lengths():
    lengths, sampler = sampler_of(5000, budget=512)
    batches = epoch(sampler, 0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / padded > 0.99
    assert padded / len(batches) > 0.9 * 512
    widths = np.array([lengths[batch].max() for batch in batches])
    # If batches were sorted by length, the correlation of neighbours would be near 1.
    assert abs(np.corrcoef(widths[:-1], widths[1:])[0, 1]) < 0.3


def test_epochs_differ_and_seeds_differ():
    lengths, sampler = sampler_of(500)
    first, second = epoch(sampler, 0), epoch(sampler, 1)
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
    assert [lengths[batch].max() for batch in first] != [lengths[batch].max() for batch in second]
    _, other = sampler_of(500, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(first, epoch(other, 0), strict=True))
    reseeded = epoch(LengthBucketSampler(lengths, 128, 4, seed=9), 0)
    assert any(not np.array_equal(a, b) for a, b in zip(first, reseeded, strict=True))


def test_no_batch_has_more_tokens_or_rows_than_the_largest():
    lengths, sampler = sampler_of(500)
    largest = [batch[:, 0] for batch in sampler.largest()]
    tokens = max(len(batch) * lengths[batch].max() for batch in largest)
    rows = max(map(len, largest))
    for batch in epoch(sampler, 0):
        assert len(batch) * lengths[batch].max() <= 1.1 * tokens
        assert len(batch) <= rows
    assert all(any(set(each) == set(batch) for batch in epoch(sampler, 0)) for each in largest)


def test_a_plan_needs_little_more_memory_than_one_number_per_example(monkeypatch):
    monkeypatch.setattr(sampler_module, "CHUNK", 1 << 16)
    lengths = np.random.default_rng(0).integers(3, 60, size=3_000_000, dtype=np.int32)
    tracemalloc.start()
    sampler = LengthBucketSampler(lengths, 2048, 4, seed=0)
    for step in (0, 5 * sampler.steps_per_epoch - 1):
        sampler.micro_batches(step)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * len(lengths)


def test_impossible_plans_are_refused():
    with pytest.raises(UserError, match="--tokens-per-batch 10"):
        LengthBucketSampler(np.array([5, 11, 4, 4]), 10, 2, 0)
    with pytest.raises(UserError, match="too few"):
        LengthBucketSampler(np.array([5, 6, 4]), 10, 4, 0)
    with pytest.raises(UserError, match="batches of one"):
        LengthBucketSampler(np.array([10, 10, 10]), 10, 2, 0)


def test_the_default_of_micro_batches_is_the_smallest_multiple_of_the_processes_above_three():
    resolved = {processes: resolve_micro_batches(None, processes, 4) for processes in (1, 2, 3, 4, 5, 6, 7, 8, 64)}
    assert resolved == {1: 4, 2: 4, 3: 6, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 64: 64}
    assert resolve_micro_batches(3, 1, 4) == resolve_micro_batches(3, 3, 4) == 3
    with pytest.raises(UserError, match="--global-micro-batches 6: must be a multiple of the number of processes, 4"):
        resolve_micro_batches(6, 4, 4)


@st.composite
def corpora(draw) -> np.ndarray:
    """Lengths of up to several thousand examples, with up to 600 different lengths, rare and frequent."""
    kinds = draw(st.lists(st.tuples(st.integers(2, 600), st.integers(1, 60)), min_size=1, max_size=40))
    spread = draw(st.integers(0, 400))
    every_length = np.arange(2, 2 + spread).repeat(draw(st.integers(1, 4)))
    lengths = np.concatenate([np.repeat(*zip(*kinds, strict=True)), every_length])
    return np.random.default_rng(draw(st.integers(0, 9))).permutation(lengths)


@settings(max_examples=60, deadline=None)
@given(corpora(), st.integers(0, 3000), st.integers(1, 200), corpora())
def test_any_corpus_is_cut_into_few_shapes_with_its_evaluation(lengths, room, multiple, held_out):
    budget = int(lengths.max()) + room
    try:
        sampler = LengthBucketSampler(lengths, budget, multiple, seed=0)
    except UserError:  # batches of one, or too few examples for a step
        assert len(lengths) < 3 * multiple
        return
    batches = epoch(sampler, 1)
    assert len(batches) % multiple == 0
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    shapes = {(len(batch), sampler.width(len(batch), lengths[batch].max())) for batch in batches}
    assert all(rows * width <= budget for rows, width in shapes)
    evaluation = list(cut(held_out, sampler.shapes.covering(int(held_out.max()), budget)))
    assert len(shapes | {shape for _, shape in evaluation}) <= MOST_SHAPES


def test_batches_keep_their_width_when_few_widths_are_left():
    lengths = np.repeat(np.arange(3, 500), 7)
    sampler = LengthBucketSampler(lengths, 2048, 4, seed=0)
    batches = epoch(sampler, 0)
    padded = sum(len(batch) * sampler.width(len(batch), lengths[batch].max()) for batch in batches)
    assert lengths.sum() / padded > 0.97
    assert len({len(batch) * sampler.width(len(batch), lengths[batch].max()) for batch in batches}) < MOST_SHAPES


def test_widths_that_save_hardly_any_padding_are_left_out(monkeypatch):
    lengths = 3 + np.random.default_rng(0).poisson(20, 20_000)
    sampler = LengthBucketSampler(lengths, 2048, 4, seed=0)
    monkeypatch.setattr("lyricbert.batches.plan._MOST_MORE_TOKENS", 1.0)
    best = LengthBucketSampler(lengths, 2048, 4, seed=0)
    padded, fewest = (
        sum(len(batch) * each.width(len(batch), lengths[batch].max()) for batch in epoch(each, 0))
        for each in (sampler, best)
    )
    assert len(sampler.shapes.widths) < len(best.shapes.widths) - 5
    assert padded < 1.007 * fewest


def test_a_plan_with_fewer_widths_must_give_whole_steps():
    """With one width of 1,025 tokens there are seven batches of one example, which are not a multiple of four."""
    sampler = LengthBucketSampler(np.array([1024] * 6 + [1025]), 2048, 4, seed=0)
    assert sampler.steps_per_epoch == 1
