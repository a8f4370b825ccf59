import numpy as np
import pytest
import torch

from lyricbert.batches.batching import make_batch
from lyricbert.batches.examples import section_examples
from lyricbert.batches.flat import FlatShapes, cut_by_tokens, make_flat_batch
from lyricbert.songs.store import TRAIN
from lyricbert.songs.tokenizer import vocabulary


@pytest.fixture
def sections(store):
    return section_examples(store, TRAIN)


def test_a_flat_batch_has_the_tokens_of_its_sections_and_hardly_any_padding(sections, tokenizer):
    chosen = np.array([17, 3, 4, 90, 91, 92, 60])
    lengths = sections.lengths[chosen]
    batch = make_flat_batch(sections, chosen, vocabulary(tokenizer), FlatShapes(sections.lengths, 512))
    ids, positions, slots, *places = batch.inputs
    assert batch.real_tokens == lengths.sum() <= len(ids) < lengths.sum() + 8
    flat = torch.cat([block.flatten() for block in places])
    rows = [row for block in places for row in block]
    begin = 0
    for number, index in enumerate(chosen):
        alone = make_batch(sections, np.array([[index]]), vocabulary(tokenizer))
        length = int(lengths[number])
        here = slice(begin, begin + length)
        assert torch.equal(ids[here], alone.input_ids[0])
        assert torch.equal(positions[here], torch.arange(length))
        row = rows[int(batch.row[number])]
        assert row[row >= 0].tolist() == list(range(begin, begin + length))
        assert flat[slots[here]].tolist() == list(range(begin, begin + length))
        begin += length
    assert batch.lines == sections.line_count[chosen].sum()


def test_there_are_few_shapes(sections, tokenizer):
    shapes = FlatShapes(sections.lengths, 512)
    tokens, blocks = set(), set()
    generator = np.random.default_rng(0)
    for size in generator.integers(2, 14, size=300):
        chosen = generator.choice(len(sections), size, replace=False)
        if sections.lengths[chosen].sum() <= 512:
            ids, _, _, *places = make_flat_batch(sections, chosen, vocabulary(tokenizer), shapes).inputs
            tokens.add(len(ids))
            blocks |= {tuple(block.shape) for block in places}
    assert max(tokens) <= 512
    assert len(tokens) <= 64
    assert len({width for _, width in blocks}) <= 6
    assert FlatShapes(sections.lengths, 500).tokens(499) == 500  # the budget is no multiple of the 64 lengths
    large = FlatShapes(np.tile(sections.lengths, 50), 16_384)
    for width in large.widths.tolist():
        assert len({large.rows(count, width) for count in range(1, 16_384 // width + 1)}) <= 9


def test_a_budget_above_all_tokens_adds_no_padding(sections):
    total = int(sections.lengths.sum())
    assert FlatShapes(sections.lengths, 1_000_000).tokens(total // 2) < total // 2 * 1.04
    assert FlatShapes(sections.lengths, 1_000_000).most_tokens == total


def test_batches_for_an_evaluation_have_every_section_once():
    lengths = np.random.default_rng(1).integers(4, 100, size=500)
    batches = cut_by_tokens(lengths, 512)
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert max(lengths[batch].sum() for batch in batches) <= 512
    assert len(batches) <= lengths.sum() / 512 * 1.2
    assert [len(batch) for batch in cut_by_tokens(np.array([600, 700]), 512)] == [1, 1]
