import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, pipeline

from lyricbert.batches.batching import make_batch
from lyricbert.batches.examples import line_examples, section_examples
from lyricbert.batches.flat import FlatShapes, make_flat_batch
from lyricbert.errors import UserError
from lyricbert.models.loading import load_masked_lm, load_sentence_encoder, load_tokenizer_for
from lyricbert.songs.store import TRAIN
from lyricbert.songs.tokenizer import load_tokenizer, vocabulary


@pytest.fixture
def batch(store, tokenizer):
    """Thirty lines, padded."""
    batch = make_batch(line_examples(store, TRAIN), np.arange(0, 90, 3)[:, None], vocabulary(tokenizer))
    assert (batch.attention_mask == 0).any()
    return batch


def test_the_seed_determines_the_new_head_of_a_model_without_one(encoder_dir):
    heads = []
    for seed in (3, 3, 4):
        model, has_head = load_masked_lm(str(encoder_dir), seed)
        assert not has_head
        heads.append(model.bert.cls.predictions.transform.dense.weight)
        assert model.bert.cls.predictions.decoder.weight is model.bert.bert.embeddings.word_embeddings.weight
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_saved_model_opens_in_a_fill_mask_pipeline(model_dir, tokenizer, tmp_path):
    model, _ = load_masked_lm(str(model_dir))
    with torch.no_grad():
        model.bert.cls.predictions.bias[tokenizer.convert_tokens_to_ids("moon")] += 100
    model.save(tmp_path / "out", tokenizer)
    answer = pipeline("fill-mask", str(tmp_path / "out"))("under the [MASK]")[0]
    assert answer["token_str"] == "moon"
    assert load_masked_lm(str(tmp_path / "out"))[1]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_flat_batch_gives_the_embeddings_of_the_sections_alone(store, tokenizer, encoder_dir, pooling):
    encoder = load_sentence_encoder(str(encoder_dir), pooling).eval()
    sections = section_examples(store, TRAIN)
    chosen = np.arange(0, 60, 5)
    batch = make_flat_batch(sections, chosen, vocabulary(tokenizer), FlatShapes(sections.lengths, 1024))
    together = encoder(*batch.inputs)[batch.row]
    for row, index in enumerate(chosen):
        ids = make_batch(sections, np.array([[index]]), vocabulary(tokenizer)).input_ids
        alone = encoder.bert(ids).last_hidden_state[0]
        expected = alone.mean(dim=0) if pooling == "mean" else alone[0]
        torch.testing.assert_close(together[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_flat_batch_gives_the_gradients_of_the_sections_alone(store, tokenizer, encoder_dir, pooling):
    sections = section_examples(store, TRAIN)
    chosen = np.arange(0, 60, 5)
    weight = torch.randn(len(chosen), 32, generator=torch.Generator().manual_seed(0))
    flat, alone = (load_sentence_encoder(str(encoder_dir), pooling).eval() for _ in range(2))
    batch = make_flat_batch(sections, chosen, vocabulary(tokenizer), FlatShapes(sections.lengths, 1024))
    assert any((block < 0).any() for block in batch.inputs[3:])
    (flat(*batch.inputs)[batch.row] * weight).sum().backward()
    for row, index in enumerate(chosen):
        ids = make_batch(sections, np.array([[index]]), vocabulary(tokenizer)).input_ids
        hidden = alone.bert(ids).last_hidden_state[0]
        ((hidden.mean(dim=0) if pooling == "mean" else hidden[0]) * weight[row]).sum().backward()
    expected = {name: parameter.grad for name, parameter in alone.named_parameters()}
    for name, parameter in flat.named_parameters():
        # The first token type is used as a constant row, which gives it the same gradient.
        torch.testing.assert_close(
            parameter.grad, expected[name], rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_saved_sentence_encoder_records_its_pooling(encoder_dir, tokenizer, tmp_path):
    encoder = load_sentence_encoder(str(encoder_dir), "cls")
    encoder.save(tmp_path / "out", tokenizer)
    assert json.loads((tmp_path / "out/1_Pooling/config.json").read_text())["pooling_mode_cls_token"]
    assert [m["path"] for m in json.loads((tmp_path / "out/modules.json").read_text())] == ["", "1_Pooling"]
    assert AutoModel.from_pretrained(tmp_path / "out").config.hidden_size == 32


def test_a_model_with_another_tokenizer_is_refused(store, model_dir, tokenizer, tmp_path):
    other = load_tokenizer(str(model_dir))
    other.add_tokens(["moonlight"])
    other.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="prepared with the tokenizer"):
        load_tokenizer_for(str(tmp_path), len(other), store)
    with pytest.raises(UserError, match="mixes two models"):
        load_tokenizer_for(str(model_dir), len(tokenizer) - 1, store)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: (path / "model.safetensors").unlink(), "no BERT model could be loaded"),
        (lambda path: (path / "model.safetensors").write_bytes(b"short"), "no BERT model could be loaded"),
        (lambda path: (path / "config.json").write_text('{"model_type": "roberta"}'), "lyricbert adapts BERT"),
        (lambda path: (path / "config.json").unlink(), "no BERT model could be loaded"),
    ],
)
def test_directories_without_a_bert_model_are_refused(model_dir, tmp_path, damage, complaint):
    for file in model_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    with pytest.raises(UserError, match=complaint) as caught:
        load_masked_lm(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_match_the_config_are_refused(model_dir, tmp_path):
    for file in model_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match="not what config"):
        load_masked_lm(str(tmp_path))
