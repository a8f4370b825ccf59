import numpy as np
import pytest

from lyricbert.batches.batching import concatenated_ranges, make_batch, prefetch
from lyricbert.batches.examples import line_examples, section_examples, truncate_to_whole_lines
from lyricbert.evaluation.evaluate import sample_examples
from lyricbert.songs.store import TRAIN
from lyricbert.songs.tokenizer import vocabulary


def test_ranges_are_concatenated():
    assert concatenated_ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


@pytest.mark.parametrize("view", [line_examples, section_examples])
def test_a_batch_holds_the_tokens_with_special_tokens_and_padding(store, tokenizer, view):
    examples = view(store, TRAIN)
    indices = np.array([3, 0, len(examples) - 1, 7])
    batch = make_batch(examples, indices[:, None], vocabulary(tokenizer))
    assert batch.input_ids.shape == (4, examples.lengths[indices].max())
    for row, index in enumerate(indices):
        expected = [tokenizer.cls_token_id]
        first = examples.first_line[index]
        for line in range(first, first + examples.line_count[index]):
            expected += [*store.tokens[store.line_offsets[line] : store.line_offsets[line + 1]], tokenizer.sep_token_id]
        length = len(expected)
        assert batch.input_ids[row, :length].tolist() == expected
        assert set(batch.input_ids[row, length:].tolist()) <= {tokenizer.pad_token_id}
        assert batch.attention_mask[row].tolist() == [1] * length + [0] * (batch.input_ids.shape[1] - length)
        assert batch.position_ids[row, :length].tolist() == list(range(length))
    assert batch.real_tokens == batch.attention_mask.sum() == examples.lengths[indices].sum()
    assert batch.lines == examples.line_count[indices].sum()


def test_a_sample_is_reproducible_and_in_order(store):
    examples = line_examples(store, TRAIN)
    sample = sample_examples(examples, 20)
    assert len(sample) == 20
    assert np.all(np.diff(sample.first_line) > 0)
    assert np.array_equal(sample.first_line, sample_examples(examples, 20).first_line)
    assert set(sample.first_line) < set(sample_examples(examples, 40).first_line)
    assert sample_examples(examples, len(examples)) is examples


def test_truncation_keeps_the_whole_lines_that_fit(store):
    sections = section_examples(store, TRAIN)
    cut = truncate_to_whole_lines(sections, 16)
    assert np.array_equal(cut.first_line, sections.first_line)
    offsets = store.line_offsets
    for first, kept, whole in zip(cut.first_line, cut.line_count, sections.line_count, strict=True):
        lengths = [1 + offsets[first + n] - offsets[first] + n for n in range(1, whole + 1)]
        assert kept == max(1, sum(length <= 16 for length in lengths))


def test_prefetch_yields_every_item_and_raises_errors_of_its_thread():
    assert list(prefetch(iter(range(1, 20)))) == list(range(1, 20))

    def failing():
        yield 1
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread"):
        list(prefetch(failing()))
