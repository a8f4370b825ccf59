"""Models whose weights are not in safetensors."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from conftest import call
from safetensors.torch import load_file

import train_mlm
import train_triplet
from lyricbert import compare, fill
from lyricbert.errors import UserError
from lyricbert.models.loading import load_masked_lm


def pickled(model_dir: Path, directory: Path) -> Path:
    """A copy of a model with its weights in pytorch_model.bin, the head's tied to the embeddings."""
    weights = load_masked_lm(str(model_dir))[0].bert.state_dict()
    tied = (weights["cls.predictions.decoder.weight"], weights["bert.embeddings.word_embeddings.weight"])
    assert tied[0].data_ptr() == tied[1].data_ptr()
    shutil.copytree(model_dir, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(weights, directory / "pytorch_model.bin")
    return directory


def complaint(main, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        call(main, *arguments)
    return str(caught.value)


def paste(message: str) -> subprocess.CompletedProcess:
    """Run the command that a message ends with, in a shell whose python is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = message[message.index("python -c") :]
    return subprocess.run(command, shell=True, env={**os.environ, "PATH": path}, capture_output=True, text=True)


def test_every_command_says_how_to_convert_pickled_weights(tmp_path, store_dir, model_dir):
    directory = pickled(model_dir, tmp_path / "rock 'n' roll")
    data, out = ("--data", store_dir), ("--out", tmp_path / "out")
    told = {
        complaint(train_mlm.main, *data, "--model", directory, *out),
        complaint(train_triplet.main, *data, "--model", directory, *out),
        complaint(fill.main, "[MASK]", "--model", directory),
        complaint(compare.main, *data, "--base", model_dir, "--adapted", directory, *out),
    }
    (message,) = told
    assert message.startswith(f"{directory}: has its weights only in pytorch_model.bin")
    assert "\n" not in message
    run = paste(message)
    assert run.returncode == 0, run.stderr
    converted, has_head = load_masked_lm(str(directory))
    assert has_head
    expected = load_masked_lm(str(model_dir))[0].state_dict()
    assert converted.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in converted.state_dict().items())
    assert "cls.predictions.decoder.weight" in load_file(directory / "model.safetensors")


def test_the_conversion_runs_no_code(tmp_path, model_dir):
    class Planted:
        def __reduce__(self):
            return open, (str(tmp_path / "planted"), "w")

    directory = pickled(model_dir, tmp_path / "model")
    torch.save({"weight": Planted()}, directory / "pytorch_model.bin")
    assert paste(complaint(fill.main, "[MASK]", "--model", directory)).returncode != 0
    assert not (tmp_path / "planted").exists()


def test_a_hub_name_without_safetensors_says_how_to_download_and_convert(tmp_path, monkeypatch, model_dir):
    """The hub's cache has what the hub would give."""
    repository = tmp_path / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123")
    pickled(model_dir, repository / "snapshots" / "0123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        load_masked_lm("someone/tiny")
    said = str(caught.value)
    advice = "if it has pytorch_model.bin, convert it and give the directory tiny instead: "
    assert said.startswith(f"someone/tiny: has no model.safetensors; {advice}")
    assert "hf download someone/tiny --local-dir tiny && python -c" in said
