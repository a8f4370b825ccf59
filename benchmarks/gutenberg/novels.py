"""Novels as pieces of prose: a piece is 30 paragraphs, a section a paragraph, a line a sentence."""

import re
from collections.abc import Iterator

from benchmarks.gutenberg.books import Novel
from benchmarks.gutenberg.filters import PEOPLE, SLURS, has_word
from benchmarks.gutenberg.text import plain

PARAGRAPHS, WORDS_A_LINE, FEWEST_WORDS = 30, 30, 4
# A sentence ends before white space and a capital letter, but not after the abbreviation of a title.
_SENTENCE_END = re.compile(
    r"""(?<=[.!?])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)\s+(?=["'(]*[A-Z])|(?<=[.!?]["')])\s+(?=["'(]*[A-Z])"""
)
_NOTE_MARK = re.compile(r"\s?\*(?:\s?\(\d+\))?|\[\d+\]")
_IS_SENTENCE = re.compile(r"""[a-z].*[.!?:;,-]["')]*$""")


def paragraphs_of(text: str) -> Iterator[str]:
    """Yield the paragraphs of a book, each in one line, without headings, lists of contents, notes and pictures."""
    for block in re.split(r"\n\s*\n", plain(text).replace("_", "")):
        paragraph = " ".join(_NOTE_MARK.sub("", block).split())
        is_prose = _IS_SENTENCE.search(paragraph) and not block.strip().startswith(("[", "*", "Produced by"))
        if is_prose and len(paragraph.split()) >= FEWEST_WORDS:
            yield paragraph


def lines_of(paragraph: str) -> list[str]:
    """The sentences of a paragraph. A longer one is cut after every 30 words."""
    lines = []
    for sentence in _SENTENCE_END.split(paragraph):
        words = sentence.split()
        lines += [" ".join(words[start : start + WORDS_A_LINE]) for start in range(0, len(words), WORDS_A_LINE)]
    return lines


def pieces_of(novel: Novel, text: str) -> tuple[list[dict[str, object]], int]:
    """(the pieces of a novel, the number of paragraphs that were left out for their words)."""
    every = list(paragraphs_of(text))
    kept = [paragraph for paragraph in every if not has_word(paragraph, SLURS | PEOPLE)]
    pieces: list[dict[str, object]] = []
    for start in range(0, len(kept), PARAGRAPHS):
        sections = ["\n".join(lines_of(paragraph)) for paragraph in kept[start : start + PARAGRAPHS]]
        number = len(pieces) + 1
        pieces.append(
            {
                "id": f"{novel.id}-{number:04d}",
                "title": f"{novel.title} ({number})",
                "artist": novel.author,
                "lyrics": "\n\n".join(sections),
            }
        )
    return pieces, len(every) - len(kept)
