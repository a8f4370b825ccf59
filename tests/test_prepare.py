import json

import numpy as np
import pytest
from conftest import call, make_songs

from lyricbert import prepare
from lyricbert.batches.examples import line_examples, section_examples
from lyricbert.errors import UserError
from lyricbert.songs.store import TRAIN, VALIDATION, open_store
from lyricbert.songs.words import line_keys, word_hashes


def lines_of(store, split: int) -> list[tuple[int, ...]]:
    side = store.song_split[store.song_of_line()]
    return [
        tuple(store.tokens[store.line_offsets[line] : store.line_offsets[line + 1]])
        for line in np.flatnonzero(side == split)
    ]


def key(line: str) -> int:
    return int(line_keys(*word_hashes([line]))[0])


def test_the_store_holds_the_songs(store, tokenizer, songs_file):
    songs = [json.loads(line) for line in songs_file.read_text().splitlines()]
    text = [line for song in songs for line in song["lyrics"].split("\n") if line]
    decoded = {tokenizer.decode(ids) for split in (TRAIN, VALIDATION) for ids in lines_of(store, split)}
    assert len(store.song_split) == 60
    assert np.count_nonzero(store.song_split == VALIDATION) == 12
    assert decoded <= {tokenizer.decode(tokenizer.encode(line, add_special_tokens=False)) for line in text}
    assert len(store.tokens) == store.line_offsets[-1]
    assert len(store.line_offsets) - 1 == store.section_offsets[-1]
    assert len(store.section_offsets) - 1 == store.song_offsets[-1]
    assert not any(token in store.tokens for token in (tokenizer.cls_token_id, tokenizer.sep_token_id))


def test_no_validation_line_occurs_in_training(store, tokenizer):
    keys = {split: {key(tokenizer.decode(ids)) for ids in lines_of(store, split)} for split in (TRAIN, VALIDATION)}
    assert keys[TRAIN]
    assert keys[VALIDATION]
    assert not keys[TRAIN] & keys[VALIDATION]
    # The songs share three lines, so some validation lines are removed.
    assert store.meta["dropped"]["validation lines that also occur in training"] >= 3


def test_distinct_lines_and_sections_are_marked_once(store, tokenizer):
    for split in (TRAIN, VALIDATION):
        keys = [key(tokenizer.decode(ids)) for ids in lines_of(store, split)]
        assert len(line_examples(store, split)) == len(set(keys)) < len(keys)
        assert len(section_examples(store, split)) < len(section_examples(store, split, distinct=False))


def test_lines_that_differ_in_accents_only_do_not_leak(tmp_path, model_dir):
    """An uncased tokenizer gives them the same tokens."""
    lyrics = [song["lyrics"] for song in make_songs(30, seed=6)]
    accented = [text.split("\n", 1)[1].replace("a", "á").replace("o", "ô") for text in lyrics]
    (tmp_path / "a.json").write_text(json.dumps([{"lyrics": text} for text in lyrics + accented]))
    split = ("--val-fraction", 0.3, "--near-duplicates", "keep")
    call(prepare.main, tmp_path / "a.json", "--out", tmp_path / "out", "--tokenizer", model_dir, *split)
    store = open_store(tmp_path / "out")
    assert not set(lines_of(store, TRAIN)) & set(lines_of(store, VALIDATION))
    assert store.meta["dropped"]["validation lines that also occur in training"] > 100


def test_a_song_keeps_its_split_when_files_are_reordered(tmp_path, model_dir):
    songs = make_songs(30, seed=5)
    sides = []
    for name, order in (("a", songs), ("b", songs[::-1])):
        (tmp_path / f"{name}.json").write_text(json.dumps(order))
        call(prepare.main, tmp_path / f"{name}.json", "--out", tmp_path / name, "--tokenizer", model_dir)
        sides.append(set(lines_of(open_store(tmp_path / name), VALIDATION)))
    assert sides[0] == sides[1]


def test_duplicate_songs_are_dropped_and_long_lines_and_sections_cut(tmp_path, model_dir):
    long_line = " ".join(["night"] * 100)
    long_section = "\n".join(f"rain on the road {'my ' * number}" for number in range(12))
    lyrics = ["moon and rain\nfire", "Moon and rain!\nfire", f"{long_line}\n\n{long_section}", "cold gold"]
    (tmp_path / "a.json").write_text(json.dumps([{"lyrics": text} for text in lyrics]))
    call(prepare.main, tmp_path, "--out", tmp_path / "out", "--tokenizer", model_dir, "--max-tokens", 32, "--seed", 7)
    store = open_store(tmp_path / "out")
    assert len(store.song_split) == 3
    assert store.meta["dropped"]["duplicate songs"] == 1
    assert store.meta["dropped"]["lines cut at --max-tokens (kept)"] == 1
    assert store.meta["dropped"]["sections split at --max-tokens (kept)"] > 1
    for split in (TRAIN, VALIDATION):
        assert section_examples(store, split).lengths.max() <= 32
    line_counts = np.diff(store.section_offsets)
    assert line_counts.min() > 0
    assert line_counts.sum() == 2 + 1 + 12 + 1


def test_names_of_special_tokens_in_lyrics_are_ordinary_text(tmp_path, model_dir, tokenizer):
    lyrics = ["moon [SEP] rain [MASK] fire", "cold [CLS] gold [PAD] night"]
    (tmp_path / "a.json").write_text(json.dumps([{"lyrics": text} for text in lyrics]))
    split = ("--val-fraction", 0.5, "--seed", 5)  # holds out one of the two songs
    call(prepare.main, tmp_path, "--out", tmp_path / "out", "--tokenizer", model_dir, *split)
    store = open_store(tmp_path / "out")
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}  # "[" is unknown to this vocabulary
    assert not special & set(store.tokens.tolist())
    assert tokenizer.convert_tokens_to_ids("##p") in store.tokens


def test_an_existing_store_is_not_overwritten(store_dir, songs_file, model_dir):
    before = (store_dir / "meta.json").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        call(prepare.main, songs_file, "--out", store_dir, "--tokenizer", model_dir)
    assert (store_dir / "meta.json").read_bytes() == before


def test_a_broken_link_is_not_replaced(tmp_path, songs_file, model_dir):
    (tmp_path / "out").symlink_to(tmp_path / "missing")
    with pytest.raises(UserError, match="exists already"):
        call(prepare.main, songs_file, "--out", tmp_path / "out", "--tokenizer", model_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_prepare_leaves_no_files(tmp_path, model_dir):
    (tmp_path / "one.txt").write_text("only one song")
    with pytest.raises(UserError, match="only one song"):
        call(prepare.main, tmp_path / "one.txt", "--out", tmp_path / "out", "--tokenizer", model_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]


@pytest.mark.parametrize("name", ["tokens.npy", "line_offsets.npy", "meta.json"])
def test_a_damaged_store_is_refused(tmp_path, songs_file, model_dir, name):
    call(prepare.main, songs_file, "--out", tmp_path / "out", "--tokenizer", model_dir)
    content = (tmp_path / "out" / name).read_bytes()
    (tmp_path / "out" / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"damaged|does not match"):
        open_store(tmp_path / "out")
