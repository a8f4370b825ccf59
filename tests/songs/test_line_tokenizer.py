"""The ids are those of transformers' tokenizer, whether words or whole lines are tokenized."""

import random

import numpy as np
import pytest
from conftest import WORD_LIST
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lyricbert.songs.line_tokenizer
from lyricbert.songs.line_tokenizer import LineTokenizer
from lyricbert.songs.tokenizer import save_tokenizer


@pytest.fixture(scope="module")
def by_words(model_dir, tmp_path_factory) -> LineTokenizer:
    return LineTokenizer(save_tokenizer(str(model_dir), tmp_path_factory.mktemp("words")), 64)


@pytest.fixture(scope="module")
def by_lines(tokenizer, tmp_path_factory) -> LineTokenizer:
    """Its added token "night moon" contains a space."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("lines")
    tokenizer.save_pretrained(folder / "one")
    larger = AutoTokenizer.from_pretrained(folder / "one")
    larger.add_tokens(["night moon"])
    larger.save_pretrained(folder / "two")
    return LineTokenizer(save_tokenizer(str(folder / "two"), folder / "three"), 64)


def encoded(tokenizer: LineTokenizer, lines: list[str]) -> list[list[int]]:
    ids, lengths, _ = tokenizer.encode(lines)
    return [each.tolist() for each in np.split(ids, np.cumsum(lengths)[:-1])] if lines else []


def expected(tokenizer, lines: list[str]) -> list[list[int]]:
    ids = tokenizer(lines, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [each[:62] if any(id != tokenizer.unk_token_id for id in each) else [] for each in ids]


PIECES = [
    *WORD_LIST,
    "Night,",
    "don't",
    "[SEP]",
    "[MASK]x",
    "##a",
    "é",
    "e\u0301",
    "\u0301",
    "ﬁ",
    "夜空",
    "Σας",
    "\x1c",
    "\t",
]
PIECES += ["\u200b", "\u00a0", "\u3000", "\u2028", "☃", "!", "'", "İ", "ß", "क्षि", ""]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), min_size=1).map(" ".join), max_size=5))
def test_any_line_has_the_ids_of_the_whole_line(by_words, tokenizer, lines):
    lines = [line.encode("utf-8", "replace").decode() for line in lines]
    assert by_words._treats_words_alone
    assert encoded(by_words, lines) == (expected(tokenizer, lines) if lines else [])


def test_an_added_token_with_a_space_is_found(by_lines):
    assert not by_lines._treats_words_alone
    ((pair, rain),) = encoded(by_lines, ["night moon rain"])
    assert pair == by_lines.saved.size - 1
    assert encoded(by_lines, ["rain"]) == [[rain]]


def test_many_lines_with_repeated_words(by_words, tokenizer):
    source = random.Random(1)
    lines = [" ".join(source.choices(WORD_LIST, k=source.randint(1, 90))) for _ in range(300)]
    assert encoded(by_words, lines) == expected(tokenizer, lines)


def test_words_are_forgotten_when_they_are_too_many(by_words, tokenizer, monkeypatch):
    monkeypatch.setattr(lyricbert.songs.line_tokenizer, "_MOST_KNOWN_TEXTS", 20)
    for start in range(0, 60, 15):
        lines = [" ".join(WORD_LIST[start : start + 15]), "night moon"]
        assert encoded(by_words, lines) == expected(tokenizer, lines)
        assert len(by_words._known.places) <= 37


def test_lengths_and_cuts(by_words):
    ids, lengths, cut = by_words.encode(["night " * 100, "☃ ☃", "moon ☃", "rain"])
    assert lengths.tolist() == [62, 0, 2, 1]
    assert cut.tolist() == [True, False, False, False]
    assert ids.dtype == np.uint16
    assert len(ids) == 65
