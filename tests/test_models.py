import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, pipeline

from lyricbert.batching import line_examples, make_batch
from lyricbert.errors import UserError
from lyricbert.masking import IGNORE, MaskingTables, mask_tokens
from lyricbert.models import load_masked_lm, load_sentence_encoder, load_tokenizer_for
from lyricbert.store import TRAIN
from lyricbert.tokenizer import load_tokenizer, vocabulary


@pytest.fixture
def masked_batch(store, tokenizer):
    words = vocabulary(tokenizer)
    batch = make_batch(line_examples(store, TRAIN), np.arange(0, 90, 3), words)
    tables = MaskingTables.of(words, torch.device("cpu"))
    inputs, targets = mask_tokens(batch.input_ids, batch.attention_mask, batch.example_ids, tables, 0.15, 0)
    assert (batch.attention_mask == 0).any()
    return inputs, batch.attention_mask, targets


def test_the_head_on_masked_positions_is_the_full_head(model_dir, masked_batch):
    model, has_head = load_masked_lm(str(model_dir))
    assert has_head
    model.eval()
    inputs, attention_mask, targets = masked_batch
    sparse = model(inputs, attention_mask, targets)
    sparse.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    logits = model.bert(input_ids=inputs, attention_mask=attention_mask).logits
    dense = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    dense.backward()
    assert sparse.item() == pytest.approx(dense.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_logits_are_in_the_order_of_the_positions(model_dir, masked_batch):
    model, _ = load_masked_lm(str(model_dir))
    model.eval()
    inputs, attention_mask, targets = masked_batch
    logits, gold = model.masked_logits(inputs, attention_mask, targets)
    dense = model.bert(input_ids=inputs, attention_mask=attention_mask).logits[targets != IGNORE]
    torch.testing.assert_close(logits, dense, rtol=1e-4, atol=1e-5)
    assert torch.equal(gold, targets[targets != IGNORE])


def test_padding_changes_nothing(model_dir, masked_batch):
    model, _ = load_masked_lm(str(model_dir))
    model.eval()
    inputs, attention_mask, targets = masked_batch
    wider = F.pad(inputs, (0, 9)), F.pad(attention_mask, (0, 9)), F.pad(targets, (0, 9), value=IGNORE)
    assert model(*wider).item() == pytest.approx(model(*masked_batch).item(), rel=1e-5)


def test_a_model_without_a_head_gets_the_same_fresh_one_from_the_same_seed(encoder_dir):
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


def test_pooling_leaves_padding_out(encoder_dir, masked_batch):
    ids, mask, _ = masked_batch
    for pooling in ("mean", "cls"):
        encoder = load_sentence_encoder(str(encoder_dir), pooling).eval()
        together = encoder(ids, mask)
        for row in range(0, len(ids), 7):
            length = mask[row].sum()
            alone = encoder.bert(ids[row : row + 1, :length]).last_hidden_state[0]
            expected = alone.mean(dim=0) if pooling == "mean" else alone[0]
            torch.testing.assert_close(together[row], expected, rtol=1e-4, atol=1e-5)


def test_a_saved_sentence_encoder_names_its_pooling(encoder_dir, tokenizer, tmp_path):
    encoder = load_sentence_encoder(str(encoder_dir), "cls")
    encoder.save(tmp_path / "out", tokenizer)
    assert json.loads((tmp_path / "out/1_Pooling/config.json").read_text())["pooling_mode_cls_token"]
    assert [m["path"] for m in json.loads((tmp_path / "out/modules.json").read_text())] == ["", "1_Pooling"]
    assert AutoModel.from_pretrained(tmp_path / "out").config.hidden_size == 32


def test_a_model_of_another_tokenizer_is_refused(store, model_dir, tokenizer, tmp_path):
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
def test_directories_that_hold_no_bert_are_refused(model_dir, tmp_path, damage, complaint):
    for file in model_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    with pytest.raises(UserError, match=complaint) as caught:
        load_masked_lm(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_weights_that_misfit_the_config_are_refused(model_dir, tmp_path):
    for file in model_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match="encoder"):
        load_masked_lm(str(tmp_path))
