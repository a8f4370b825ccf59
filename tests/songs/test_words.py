import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lyricbert.songs.words import line_keys, song_keys, word_hashes


def key(line: str) -> int:
    return int(line_keys(*word_hashes([line]))[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Oh, Oh — yeah!", "oh oh yeah"),
        ("Café au lait", "cafe au lait"),
        ("cafe\u0301", "caf\u00e9"),
        ("don\u2019t stop", "dont stop"),
        ("don\u00b4t, don\u2032t", "don't don't"),
        ("שָׁלוֹם", "שלום"),
        ("كَتَبَ، حبيبــي", "كتب حبيبي"),
        ("\uff26\uff35\uff2c\uff2c \ufb01re", "full fire"),
        ("STRASSE", "straße"),
        ("İstanbul", "istanbul"),
        ("ΛΌΓΟΣ", "λογος"),
        ("\N{MATHEMATICAL BOLD CAPITAL N}ight", "night"),
        ("I ❤\ufe0f you", "I ❤ you"),
        ("夜空", "夜 空\uff01"),
        ("がき", "か\u3099き"),
    ],
)
def test_case_accents_and_punctuation_make_no_difference(one, other):
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("oh oh yeah", "oh yeah oh"),
        ("oh oh", "oh"),
        ("कि", "का"),  # vowel signs
        ("क्या", "कया"),  # virama
        ("がき", "かき"),
        ("ดี", "ดำ"),
        ("s\N{LATIN SMALL LETTER DOTLESS I}z", "siz"),
        ("now here", "nowhere"),
        ("...", "!!!"),
    ],
)
def test_words_their_order_and_vowel_signs_make_a_difference(one, other):
    assert key(one) != key(other)


def test_each_character_of_a_script_without_spaces_begins_a_word():
    assert word_hashes(["夜空 moon", "ไทย", "two words"])[1].tolist() == [3, 3, 2]


@given(st.lists(st.text(st.characters(exclude_characters="\n")), max_size=8))
def test_a_line_has_the_same_key_alone_and_among_others(lines):
    hashes, words = word_hashes(lines)
    assert len(words) == len(lines)
    assert len(hashes) == words.sum()
    assert np.all(words > 0)
    assert line_keys(hashes, words).tolist() == [key(line) for line in lines]


def test_a_song_key_depends_on_all_lines_in_order():
    lines = line_keys(*word_hashes(["night moon", "rain", "night moon", "rain", "rain", "night moon"]))
    first, second, third = song_keys(lines, np.array([2, 2, 2]))
    assert first == second != third
