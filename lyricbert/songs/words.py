"""The words of lines, and the keys by which lines and songs are compared. They do not depend on a tokenizer.

Case, accents and punctuation make no difference: "Café, don't!" has the words "cafe" and "dont". Vowel signs do make
one, because without them the Hindi words कि and का would be equal. Those of Hebrew and Arabic make none, because they
are usually left out. In scripts without spaces, such as Chinese, each character is a word.
"""

import unicodedata
from hashlib import blake2b
from itertools import chain, groupby

import numpy as np

from lyricbert.hashing import sequence_keys

# Apostrophes, and the tatweel, which makes Arabic words longer.
_IGNORED = "'\u2018\u2019\u201b\u2032\u02b9\u02bb\u02bc`\u0640"
_ACUTE_ACCENT = "\u00b4"  # often typed instead of an apostrophe
_SCRIPTS_WITHOUT_SPACES = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
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
    words_of_line = [folded.split() or [line] for folded, line in zip(folded_lines, lines, strict=True)]
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
    if unicodedata.name(character, "").startswith(_SCRIPTS_WITHOUT_SPACES):
        return f" {character} "
    return character


_FOLDED = _FoldedCharacters()
