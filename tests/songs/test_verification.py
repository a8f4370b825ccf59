"""A flipped bit in any file of a store is found, and a store that is intact is not accused."""

import shutil
from pathlib import Path

import pytest
from conftest import call

from lyricbert import prepare
from lyricbert.errors import UserError
from lyricbert.songs.store import ARRAYS
from lyricbert.songs.verification import verify_store

FILES = [*(f"{name}.npy" for name in ARRAYS), "songs.jsonl", "sources.jsonl", "meta.json"]
FILES += ["tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"]


@pytest.fixture
def store(store_dir, tmp_path) -> Path:
    return shutil.copytree(store_dir, tmp_path / "store")


def test_these_are_all_files(store):
    assert sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()) == sorted(FILES)


def test_an_intact_store(store, capsys):
    call(prepare.main, "--verify", store)
    assert capsys.readouterr().out == f"{store}: intact, {len(FILES)} files\n"


@pytest.mark.parametrize("where", [0.1, 0.5, -1])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit(store, name, where):
    content = bytearray((store / name).read_bytes())
    content[where if where < 0 else int(where * len(content))] ^= 1
    (store / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^{store / name}: damaged"):
        verify_store(store)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(store, name):
    (store / name).unlink()
    with pytest.raises(UserError, match=f"^{store}.*{name}"):
        verify_store(store)
