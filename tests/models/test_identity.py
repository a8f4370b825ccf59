import shutil
from pathlib import Path

import pytest

from lyricbert.errors import UserError
from lyricbert.models import identity
from lyricbert.models.history import RUNS_FILE
from lyricbert.models.identity import identify_model


def test_a_copy_is_the_same_model_until_one_of_its_files_changes(tmp_path, model_dir):
    copy = shutil.copytree(model_dir, tmp_path / "copy")
    (copy / RUNS_FILE).write_text("{}")
    (copy / "README.md").write_text("a model")
    original = identify_model(str(model_dir))
    assert identify_model(str(copy)) == original
    seen = {original}
    for name in ("model.safetensors", "config.json", "tokenizer.json", "vocab.txt"):
        with (copy / name).open("ab") as file:
            file.write(b" ")
        seen.add(identify_model(str(copy)))
    assert len(seen) == 5


def test_a_model_of_the_hub_is_its_commit(monkeypatch, tmp_path):
    snapshot = tmp_path / "models--user--name" / "snapshots" / "0123abcd" / "config.json"
    monkeypatch.setattr(identity, "hf_hub_download", lambda name, file: str(snapshot))
    assert identify_model("user/name") == "0123abcd"


def test_a_model_that_does_not_exist_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        identify_model(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="user/name: no BERT model could be loaded"):
        identify_model("user/name")


def test_a_file_that_cannot_be_read_is_a_user_error(monkeypatch, model_dir):
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(identity, "sha256_of", refuse)
    with pytest.raises(UserError, match=r"config.json: cannot be read \(Permission denied\)"):
        identify_model(str(model_dir))
