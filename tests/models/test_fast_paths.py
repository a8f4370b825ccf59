"""Every optimization of training gives the loss and gradients of the plain model, padded and with the full head."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import BertForMaskedLM

from lyricbert.batches.batching import make_batch
from lyricbert.batches.examples import line_examples
from lyricbert.batches.masking import IGNORE, MaskingTables, mask_tokens, target_positions
from lyricbert.batches.packing import PackedSampler
from lyricbert.batches.shapes import target_counts
from lyricbert.models.loading import load_masked_lm
from lyricbert.songs.store import TRAIN
from lyricbert.songs.tokenizer import load_tokenizer, vocabulary
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.tasks.mlm import MaskedLMTask

WIDTH = 32
KEY = 5


@pytest.fixture
def sharp_model_dir(tmp_path, model_dir):
    """The tiny BERT with larger weights. With its initial weights, positions and other tokens have almost no effect."""
    model = BertForMaskedLM.from_pretrained(model_dir)
    with torch.no_grad():
        for parameter in model.bert.parameters():
            if parameter.ndim > 1:
                parameter *= 10
    model.save_pretrained(tmp_path / "model")
    load_tokenizer(str(model_dir)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def examples(store):
    return line_examples(store, TRAIN)


@pytest.fixture
def packed_indices(examples):
    """Seven or eight rows of several lines each: int64 [rows, S]."""
    indices = PackedSampler(examples.lengths, WIDTH, 8 * WIDTH, 1, seed=0).largest()[0]
    assert len(indices) in (7, 8)
    assert (indices >= 0).sum() > 20
    return indices


def masked(examples, indices, tokenizer, shape=None, allowed=None):
    """(batch, inputs, targets, arguments of `MaskedLM.forward`)."""
    words = vocabulary(tokenizer)
    batch = make_batch(examples, indices, words, shape)
    inputs, targets = mask_tokens(batch, MaskingTables.of(words), 0.15, KEY)
    positions, gold = target_positions(targets, allowed)
    return batch, inputs, targets, (inputs, batch.needed_mask, batch.position_ids, positions, gold)


def plain(model_dir, examples, indices, tokenizer):
    """Loss and gradients of the transformers model on the same lines: one row per line, the head on every token."""
    model = BertForMaskedLM.from_pretrained(model_dir).eval()
    batch, inputs, targets, _ = masked(examples, indices[indices >= 0][:, None], tokenizer)
    assert (batch.attention_mask == 0).any()
    logits = model(input_ids=inputs, attention_mask=batch.attention_mask).logits
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}


PATHS = {
    "head on masked positions": {},
    "fixed number of head positions": {"allowed": np.array([10, 640])},
    "packed": {"packed": True},
    "packed, fixed shapes, empty row": {"packed": True, "shape": (9, WIDTH + 7), "allowed": np.array([10, 640])},
    "compiled": {"compiled": True},
    "packed, compiled": {"packed": True, "compiled": True, "allowed": np.array([10, 640])},
}


@pytest.mark.parametrize("path", PATHS)
def test_loss_and_gradients_equal_those_of_the_plain_model(path, sharp_model_dir, examples, packed_indices, tokenizer):
    options = dict(PATHS[path])
    compiled = options.pop("compiled", False)
    if compiled and not any(map(shutil.which, ("g++", "clang++"))):
        pytest.skip("torch.compile needs a C++ compiler")
    packed = options.pop("packed", False)
    indices = packed_indices if packed else packed_indices[packed_indices >= 0][:, None]
    expected_loss, expected = plain(sharp_model_dir, examples, packed_indices, tokenizer)
    model, _ = load_masked_lm(str(sharp_model_dir))
    model.eval()
    if compiled:
        model.compile_parts()
    loss = model(*masked(examples, indices, tokenizer, **options)[3])
    loss.backward()
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    gradients = {name: parameter.grad for name, parameter in model.bert.named_parameters()}
    assert gradients.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in gradients.items():
        scale = expected[name].norm().item()
        # The bias of the keys adds the same number to all scores of a query. Its true gradient is 0, so both values are
        # rounding errors.
        assert (gradient - expected[name]).norm().item() <= 1e-5 * max(scale, largest), name


def test_a_line_does_not_depend_on_its_neighbours_in_a_row(sharp_model_dir, examples, packed_indices, tokenizer):
    model, _ = load_masked_lm(str(sharp_model_dir))
    model.eval()
    _, inputs, _, (ids, mask, places, _, _) = masked(examples, packed_indices, tokenizer)
    changed = torch.where(mask == 2, 7, ids)
    assert not torch.equal(changed, ids)
    flat = torch.arange(ids.numel())
    before, after = (model.masked_logits(tokens, mask, places, flat) for tokens in (inputs, changed))
    others = (mask != 2).flatten()
    torch.testing.assert_close(before[others], after[others], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before[~others], after[~others], atol=1e-3)


def test_positions_restart_at_every_line(sharp_model_dir, examples, packed_indices, tokenizer):
    """The loss differs without restarted positions, and without the mask. So the tests above notice both mistakes."""
    model, _ = load_masked_lm(str(sharp_model_dir))
    model.eval()
    *_, (ids, mask, places, positions, gold) = masked(examples, packed_indices, tokenizer)
    running_on = torch.arange(ids.shape[1]).expand_as(ids)
    right = model(ids, mask, places, positions, gold).item()
    assert model(ids, mask, running_on, positions, gold).item() != pytest.approx(right, rel=1e-3)
    assert model(ids, torch.ones_like(mask), places, positions, gold).item() != pytest.approx(right, rel=1e-3)


def test_a_line_has_the_same_targets_packed_and_padded(examples, packed_indices, tokenizer):
    _, _, targets, _ = masked(examples, packed_indices, tokenizer)
    batch, inputs, _, _ = masked(examples, packed_indices, tokenizer)
    for row, slot in zip(*np.nonzero(packed_indices >= 0), strict=True):
        _, alone, alone_targets, _ = masked(examples, packed_indices[row, slot][None, None], tokenizer)
        own = batch.attention_mask[row] == slot + 1
        assert torch.equal(inputs[row, own], alone[0])
        assert torch.equal(targets[row, own], alone_targets[0])


def test_an_epoch_has_the_same_lines_and_targets_in_both_layouts(store, sharp_model_dir, world):
    epochs = {}
    for layout in ("padded", "packed"):
        config = MaskedLMConfig(tokens_per_batch=256, global_micro_batches=2, layout=layout)
        task = MaskedLMTask(load_masked_lm(str(sharp_model_dir))[0], config, str(sharp_model_dir), store, world)
        steps = [task.sampler.micro_batches(step) for step in range(task.sampler.steps_per_epoch)]
        epochs[layout] = [task.micro_batch(indices, 0) for step in steps for indices in step]
    totals = [
        [sum(getattr(batch, name) for batch in epoch) for name in ("terms", "lines", "real_tokens")]
        for epoch in epochs.values()
    ]
    assert totals[0] == totals[1]
    assert totals[0][1] == len(line_examples(store, TRAIN))
    gold = [torch.cat([batch.inputs[4] for batch in epoch]) for epoch in epochs.values()]
    assert torch.equal(*(ids[ids != IGNORE].sort().values for ids in gold))
    assert {batch.inputs[0].shape for batch in epochs["packed"]} == {(2, 128)}
    assert {len(batch.inputs[3]) for epoch in epochs.values() for batch in epoch} <= set(target_counts(256, 0.15))
