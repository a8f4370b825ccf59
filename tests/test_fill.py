import json
import re

import pytest
import torch
from conftest import call, make_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertForMaskedLM, PreTrainedTokenizerFast

from lyricbert import fill
from lyricbert.errors import UserError
from lyricbert.models.loading import load_masked_lm


@pytest.fixture(scope="module")
def moon_dir(work, model_dir, tokenizer):
    """A model that fills every blank with "moon"."""
    model, _ = load_masked_lm(str(model_dir))
    with torch.no_grad():
        model.bert.cls.predictions.bias[tokenizer.convert_tokens_to_ids("moon")] += 100
    model.save(work / "moon", tokenizer)
    return work / "moon"


def output(capsys, *arguments):
    call(fill.main, *arguments)
    return capsys.readouterr().out


def test_two_models_side_by_side(capsys, model_dir, moon_dir):
    result = json.loads(
        output(capsys, "rain on the [MASK]", "--model", model_dir, "--model", moon_dir, "--gold", "moon", "--json")
    )
    plain, moon = result["models"]
    assert moon["predictions"][0]["token"] == "moon"
    assert moon["gold"]["rank"] == 1
    assert moon["gold"]["probability"] == pytest.approx(1)
    assert len(plain["predictions"]) == 10
    probabilities = [entry["probability"] for entry in plain["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)


def test_the_rank_of_a_word_outside_the_top_predictions(capsys, moon_dir, tokenizer):
    full = json.loads(output(capsys, "the [MASK]", "--model", moon_dir, "--top", len(tokenizer), "--json"))
    order = [entry["token"] for entry in full["models"][0]["predictions"]]
    word = next(token for token in reversed(order) if len(token) > 2 and token.isalpha())
    found = json.loads(output(capsys, "the [MASK]", "--model", moon_dir, "--top", 3, "--gold", word, "--json"))
    assert found["models"][0]["gold"]["rank"] == order.index(word) + 1 > 3
    assert sum(entry["probability"] for entry in full["models"][0]["predictions"]) == pytest.approx(1, abs=1e-4)


def test_the_table_shows_models_words_and_ranks(capsys, model_dir, moon_dir):
    shown = output(
        capsys, "rain on the [MASK]", "--model", model_dir, "--model", moon_dir, "--gold", "moon", "--top", 4
    )
    lines = shown.splitlines()
    assert lines[0] == "rain on the [MASK]"
    assert [line.split()[0] for line in lines[2:7]] == ["rank", "1", "2", "3", "4"]
    assert lines[2].count("token  probability") == 2
    assert "moon  1.0000" in lines[3]
    assert lines[-2] == "original word, moon:"
    assert "rank 1 " in lines[-1]


def test_mask_each(capsys, model_dir, moon_dir):
    line = "Moon, rain and the moon"  # "and" is three pieces in this vocabulary
    result = json.loads(output(capsys, line, "--model", model_dir, "--model", moon_dir, "--mask-each", "--json"))
    assert [word["word"] for word in result["words"]] == ["Moon", "rain", "and", "the", "moon"]
    assert [word["pieces"] for word in result["words"]] == [1, 1, 3, 1, 1]
    assert result["words"][2]["models"] == [None, None]
    assert [result["words"][n]["models"][1]["rank"] for n in (0, 4)] == [1, 1]
    alone = json.loads(output(capsys, "Moon, [MASK] and the moon", "--model", model_dir, "--gold", "rain", "--json"))
    rain = result["words"][1]["models"][0]
    assert rain["rank"] == alone["models"][0]["gold"]["rank"]
    assert rain["probability"] == pytest.approx(alone["models"][0]["gold"]["probability"], rel=1e-4)
    shown = output(capsys, line, "--model", model_dir, "--mask-each")
    assert shown.splitlines()[2] == "word             rank prob.  top 3 predictions"
    assert "3 pieces, not ranked" in shown


@pytest.fixture(scope="module")
def spaced_dir(work):
    """A model with a vocabulary of 11 words, whose tokenizer splits words at spaces only."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "moon", "and", "don't", "ra", "##in", "stop!"]
    backend = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    return make_model(work / "spaced", BertForMaskedLM, tokenizer)


def test_mask_each_with_two_tokenizers(capsys, model_dir, spaced_dir):
    line = "Moon and rain, don't stop!"
    arguments = (line, "--model", model_dir, "--model", spaced_dir, "--mask-each")
    words = json.loads(output(capsys, *arguments, "--json"))["words"]
    assert [word["word"] for word in words] == ["Moon", "and", "rain,", "don't", "stop!"]
    assert [word["pieces_by_model"] for word in words] == [[1, 1], [3, 1], [2, 1], [5, 1], [5, 1]]
    assert [word["pieces"] for word in words] == [1, 3, 2, 5, 5]
    ranked = [[entry is not None for entry in word["models"]] for word in words]
    assert ranked == [[True, True], [False, True], [False, False], [False, True], [False, True]]  # "rain," is unknown
    alone = json.loads(
        output(capsys, "Moon [MASK] rain, don't stop!", "--model", spaced_dir, "--gold", "and", "--json")
    )
    assert words[1]["models"][1]["rank"] == alone["models"][0]["gold"]["rank"]
    table = output(capsys, *arguments).splitlines()
    assert re.match(r"and +3 pieces, not ranked +\d+ 0\.\d{3} ", table[4])


def test_mask_each_does_not_rank_words_outside_the_vocabulary(capsys, spaced_dir):
    """Their token is [UNK], whose rank says nothing about the word."""
    arguments = ("moon and river", "--model", spaced_dir, "--mask-each")
    words = json.loads(output(capsys, *arguments, "--json"))["words"]
    assert [entry is not None for word in words for entry in word["models"]] == [True, True, False]
    assert words[2]["pieces_by_model"] == [1]
    assert re.search(r"^river +not in the vocabulary$", output(capsys, *arguments), re.MULTILINE)


def test_a_vocabulary_smaller_than_the_top_leaves_blank_cells(capsys, model_dir, spaced_dir):
    for pair, wide in ([spaced_dir, model_dir], 1), ([model_dir, spaced_dir], 0):
        lines = output(capsys, "the [MASK]", "--model", pair[0], "--model", pair[1], "--top", 20).splitlines()
        assert [line.split()[0] for line in lines[3:]] == [str(place) for place in range(1, 21)]
        assert [len(re.findall(r"0\.\d{4}", line)) for line in lines[3:]] == [2] * 11 + [1] * 9
        assert re.search(r"0\.\d{4}", lines[-1]).start() > 36 * wide


def test_a_missing_head_gives_a_warning(capsys, encoder_dir):
    call(fill.main, "the [MASK]", "--model", encoder_dir)
    assert f"{encoder_dir} has no MLM head" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no blank",), "0 times"),
        (("[MASK] and [MASK]",), "2 times"),
        (("[MASK]", "--gold", "and"), "3 pieces"),
        (("[MASK]", "--gold", "☂"), "not in the vocabulary"),
        (("a [MASK]", "--mask-each"), "without"),
        (("!,", "--mask-each"), "no word"),
        (("a", "--mask-each", "--gold", "moon"), "--gold and --mask-each"),
        (("rain " * 70 + "[MASK]",), "takes at most 64"),
        (("[MASK]", "--top", "0"), "--top 0"),
    ],
)
def test_bad_input(model_dir, arguments, complaint):
    with pytest.raises(UserError, match=complaint.replace("[", r"\[")):
        call(fill.main, *arguments, "--model", model_dir)
