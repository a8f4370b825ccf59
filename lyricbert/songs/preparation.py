"""Prepare a token store from lyrics files."""

from collections import Counter
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from lyricbert.errors import UserError
from lyricbert.files import new_directory, sha256_of
from lyricbert.songs.formats import list_files
from lyricbert.songs.split import counts, split_and_flatten
from lyricbert.songs.store import VALIDATION, write_arrays
from lyricbert.songs.tokenized import named, tokenize_files
from lyricbert.songs.tokenizer import fingerprint, load_tokenizer


def prepare_store(
    sources: tuple[Path, ...],
    out: Path,
    tokenizer_name: str,
    val_fraction: float,
    seed: int,
    max_tokens: int | None,
) -> dict[str, Any]:
    """Read `sources` and write the token store `out`. Returns the content of its meta.json.

    `PrepareConfig` describes the arguments. Raises `UserError`.
    """
    files = list_files(sources)
    tokenizer = load_tokenizer(tokenizer_name)
    dropped: Counter[str] = Counter()
    with new_directory(out) as directory:
        corpus = tokenize_files(files, tokenizer, _example_limit(max_tokens, tokenizer), dropped)
        if len(corpus.song_keys) < 2:
            raise UserError(f"only one song with lyrics in {named(files)}; add a second one, for validation")
        arrays = split_and_flatten(corpus, val_fraction, seed, len(tokenizer), dropped)
        if VALIDATION not in arrays["song_split"]:
            raise UserError(
                f"{named(files)}: every validation line also occurs in training; raise --val-fraction or add songs"
            )
        tokenizer.save_pretrained(directory / "tokenizer")
        meta = {
            "tokenizer": {"name": tokenizer_name, "fingerprint": fingerprint(tokenizer), "size": len(tokenizer)},
            "sources": [{"name": path.name, "sha256": sha256_of(path)} for path in files],
            "files": {"sources.jsonl": ""},
            "near_duplicates": {"setting": "group"},
            "seed": seed,
            "val_fraction": val_fraction,
            "counts": counts(arrays),
            "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        }
        write_arrays(directory, arrays, meta)
    return meta


def _example_limit(max_tokens: int | None, tokenizer: PreTrainedTokenizerFast) -> int:
    limit = max_tokens or min(tokenizer.model_max_length, 512)
    if limit < 8:
        raise UserError(f"--max-tokens {limit}: must be 8 or more")
    return limit
