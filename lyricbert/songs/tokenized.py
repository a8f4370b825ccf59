"""Read, clean and tokenize songs, and drop duplicate songs."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from lyricbert.errors import UserError
from lyricbert.hashing import derive_key
from lyricbert.songs.cleaning import Cleaned, clean
from lyricbert.songs.duplicates import line_key
from lyricbert.songs.formats import LyricsFile, ReadOptions, read_records

_SONGS_AT_ONCE = 256
_CHARACTERS_A_TOKEN = 100


@dataclass
class TokenizedSongs:
    """The songs tokenized so far. Equal keys (64-bit digests) mark duplicate lines and songs.

    `tokens`: ids of all lines, one line after the other. `line_lengths`, `line_keys`: one entry per line.
    `section_lines`: lines of each section. `song_sections`: sections of each song. `song_keys`: one entry per song.
    """

    # Quoted, because Python before 3.12 cannot evaluate `array[int]`.
    tokens: "array[int]" = field(default_factory=lambda: array("I"))
    line_lengths: "array[int]" = field(default_factory=lambda: array("q"))
    line_keys: "array[int]" = field(default_factory=lambda: array("q"))
    section_lines: "array[int]" = field(default_factory=lambda: array("q"))
    song_sections: "array[int]" = field(default_factory=lambda: array("q"))
    song_keys: "array[int]" = field(default_factory=lambda: array("q"))
    known_songs: set[int] = field(default_factory=set)


def tokenize_files(
    files: list[LyricsFile],
    options: ReadOptions,
    tokenizer: PreTrainedTokenizerFast,
    limit: int,
    dropped: Counter[str],
) -> TokenizedSongs:
    """Read, clean and tokenize all songs. `dropped` counts what is removed or changed, by reason.

    `limit`: maximum length of a line or section in tokens, special tokens included. Raises `UserError` if no song has
    lyrics.
    """
    corpus = TokenizedSongs()
    with tqdm(desc="prepare", unit=" songs", disable=None) as bar:
        records = (record for file in files for record in read_records(file, options, dropped))
        songs = (clean(record.lyrics, dropped, record.title) for record in records)
        while chunk := list(islice(songs, _SONGS_AT_ONCE)):
            _add_songs(corpus, chunk, tokenizer, limit, dropped)
            bar.update(len(chunk))
    if not corpus.song_keys:
        removed = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        raise UserError(f"no lyrics in {named(files)}; check the files" + (f" (removed: {removed})" if removed else ""))
    return corpus


def named(files: list[LyricsFile]) -> str:
    """The first three paths, for a message."""
    return ", ".join(str(file) for file in files[:3]) + (" ..." if len(files) > 3 else "")


def _add_songs(
    corpus: TokenizedSongs, songs: list[Cleaned], tokenizer: PreTrainedTokenizerFast, limit: int, dropped: Counter[str]
) -> None:
    # Cut very long lines here, because tokenizing megabytes is slow. A token rarely has more than 100 characters.
    longest = _CHARACTERS_A_TOKEN * limit
    lines = [line[:longest] for song in songs for section in song.sections for line in section]
    # Special tokens are split, because "[SEP]" in a lyric is ordinary text.
    encoded = tokenizer(lines, add_special_tokens=False, split_special_tokens=True, verbose=False) if lines else {}
    token_ids = iter(encoded.get("input_ids", []))
    for song in songs:
        sections = [
            list(_keep_lines(section, islice(token_ids, len(section)), tokenizer, limit, dropped))
            for section in song.sections
        ]
        sections = [section for section in sections if section]
        song_key = derive_key("song", *(key for section in sections for key, _ in section))
        if not sections:
            dropped["songs without words"] += 1
        elif song_key in corpus.known_songs:
            dropped["duplicate songs"] += 1
        else:
            corpus.known_songs.add(song_key)
            _add_song(corpus, song_key, sections, limit, dropped)


def _keep_lines(
    lines: Iterable[str],
    token_ids: Iterable[list[int]],
    tokenizer: PreTrainedTokenizerFast,
    limit: int,
    dropped: Counter[str],
) -> Iterator[tuple[int, list[int]]]:
    """Yield (key, token ids) of each line with a known token.

    The ids are cut to `limit` - 2, which leaves room for [CLS] and [SEP].
    """
    for line, ids in zip(lines, token_ids, strict=True):
        if all(token == tokenizer.unk_token_id for token in ids):
            dropped["lines unknown to the tokenizer"] += 1
            continue
        dropped["lines cut at --max-tokens (kept)"] += len(ids) > limit - 2
        yield line_key(line), ids[: limit - 2]


def _add_song(
    corpus: TokenizedSongs, key: int, sections: list[list[tuple[int, list[int]]]], limit: int, dropped: Counter[str]
) -> None:
    corpus.song_keys.append(key)
    corpus.song_sections.append(0)
    for section in sections:
        lines, length = 0, 1  # [CLS]; each line adds its tokens and a [SEP]
        for line, ids in section:
            if length + len(ids) + 1 > limit:
                corpus.section_lines.append(lines)
                corpus.song_sections[-1] += 1
                dropped["sections split at --max-tokens (kept)"] += 1
                lines, length = 0, 1
            lines, length = lines + 1, length + len(ids) + 1
            corpus.line_keys.append(line)
            corpus.line_lengths.append(len(ids))
            corpus.tokens.extend(ids)
        corpus.section_lines.append(lines)
        corpus.song_sections[-1] += 1
