"""The words of lines, and the keys by which lines and songs are compared. They do not depend on a tokenizer.

Case, accents and punctuation make no difference: "Café, don't!" has the words "cafe" and "dont". Vowel signs do make
one, because without them the Hindi words कि and का would be equal. Those of Hebrew and Arabic make none, because they
are usually left out. In scripts without spaces, such as Chinese, each character begins a word of several characters.
"""

import unicodedata
from hashlib import blake2b
from itertools import chain, groupby, takewhile

import numpy as np

from lyricbert.songs.groups import sequence_keys

# Apostrophes, and the tatweel, which makes Arabic words longer.
_IGNORED = "'\u2018\u2019\u201b\u2032\u02b9\u02bb\u02bc`\u0640"
_ACUTE_ACCENT = "\u00b4"  # often typed instead of an apostrophe
# The characters that make a word in scripts without spaces, so that unrelated songs have few pairs of words in common:
# see docs/splitting.md. Names of characters begin with the name of their script.
_CHARACTERS_OF_WORD = {
    **dict.fromkeys(("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "COMBINING KATAKANA"), 2),
    **dict.fromkeys(("THAI", "LAO", "KHMER", "MYANMAR"), 5),
}
_MARK = "\0"  # is before that number and each character of such a script
# Unicode gives these combining classes to the points of Hebrew, Arabic and Syriac letters, and to the accents of Latin,
# Greek and Cyrillic ones.
_ACCENTS = {*range(10, 37), *range(200, 255)}
_VARIATION_SELECTORS = {0x34F, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def word_hashes(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of all `lines`: int64 [words], and the number of words of each line: int64 [lines].

    Every line has at least one word: the whole text of a line without letters and digits is its word. Thousands of
    lines at once are fastest, because each distinct word is hashed once. A line must not contain a line break.
    """
    text = "\n".join(_fold("\n".join(run)) for _, run in groupby(lines, str.isascii))
    folded_lines = text.split("\n") if lines else []
    words_of_line = [_words(folded) or [line] for folded, line in zip(folded_lines, lines, strict=True)]
    words = list(chain.from_iterable(words_of_line))
    places = {word: place for place, word in enumerate(set(words))}
    digests = b"".join(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest() for word in places)
    hashes = np.frombuffer(digests, "<i8").astype(np.int64, copy=False)
    places_of_words = np.fromiter(map(places.__getitem__, words), np.int64, len(words))
    return hashes[places_of_words], np.fromiter(map(len, words_of_line), np.int64, len(lines))


def line_keys(hashes: np.ndarray, words_of_line: np.ndarray) -> np.ndarray:
    """int64 [lines]: a key of the words of each line, in order. The arguments are what `word_hashes` returns."""
    return sequence_keys(hashes, words_of_line)


def song_keys(line_keys: np.ndarray, lines_of_song: np.ndarray) -> np.ndarray:
    """int64 [songs]: a key of the lines of each song, in order. `lines_of_song`: int64 [songs]."""
    return sequence_keys(line_keys, lines_of_song)


def _words(folded: str) -> list[str]:
    words = folded.split()
    return [_word_from(words, place) for place in range(len(words))] if _MARK in folded else words


def _word_from(words: list[str], place: int) -> str:
    """The word that begins at a place: what is there, or several characters of a script without spaces."""
    if words[place][0] != _MARK:
        return words[place]
    following = words[place : place + int(words[place][1])]
    return "".join(takewhile(lambda word: word[0] == _MARK, following))


def _fold(text: str) -> str:
    """Remove case, accents and punctuation. Line breaks stay."""
    if not text.isascii():
        text = text.replace(_ACUTE_ACCENT, "'")  # which normalization would make a space and an accent
        text = unicodedata.normalize("NFKD", text)  # separates accents from letters, and makes wide letters ordinary
    return text.translate(_FOLDED).casefold()


class _FoldedCharacters(dict[int, str]):
    """What `_fold` makes of a character. Entries are added when they are first needed."""

    def __missing__(self, code: int) -> str:
        self[code] = _fold_character(chr(code))
        return self[code]


def _fold_character(character: str) -> str:
    category = unicodedata.category(character)
    if character == "\n":
        return character
    if character in _IGNORED or category in ("Cf", "Me") or ord(character) in _VARIATION_SELECTORS:
        return ""
    if category == "Mn" and unicodedata.combining(character) in _ACCENTS:
        return ""
    if not character.isalnum() and category not in ("Mn", "Mc"):
        return " "
    for script, count in _CHARACTERS_OF_WORD.items():
        if unicodedata.name(character, "").startswith(script):
            return f" {_MARK}{count}{character} "
    return character


_FOLDED = _FoldedCharacters()
