"""Each command's commonest mistakes: one line that says what is wrong, exit status 2, nothing written."""

import subprocess
import sys

import pytest
from conftest import ROOT, call, make_model, torchrun
from transformers import BertForMaskedLM

import train_mlm
import train_triplet
from lyricbert import compare, fill, prepare
from lyricbert.errors import run_command

COMMANDS = {"prepare": prepare, "mlm": train_mlm, "triplet": train_triplet, "fill": fill, "compare": compare}

CASES = [
    ("prepare", "{songs} --out {new} --tokenizer {nowhere}", "no such directory"),
    ("prepare", "{nowhere} --out {new} --tokenizer {model}", "no such file or folder"),
    ("prepare", "{songs} --out {store} --tokenizer {model}", "exists already"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --val-fraction 1", "--val-fraction 1"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --max-tokens 3", "must be 8 or more"),
    ("prepare", "{songs} --tokenizer {model}", "--out"),
    ("prepare", "{empty} --out {new} --tokenizer {model}", "no lyrics"),
    ("prepare", "{folder} --out {new} --tokenizer {model}", "no .txt"),
    ("prepare", "{image} --out {new} --tokenizer {model}", "unknown kind of file"),
    ("mlm", "--data {nowhere} --model {model} --out {new}", "not a token store"),
    ("mlm", "--data {store} --model {nowhere} --out {new}", "no such directory"),
    ("mlm", "--data {store} --model {model} --out {full}", "not a run's directory"),
    ("mlm", "--data {store} --model {model} --out {new} --resume {nowhere}", "no such checkpoint"),
    ("mlm", "--data {store} --model {model} --out {new} --mask-rate 1.5", "--mask-rate 1.5"),
    ("mlm", "--data {store} --model {model} --out {new} --lr fast", "invalid float"),
    ("mlm", "--data {store} --model {model} --out {new} --precision fp8", "invalid choice"),
    ("mlm", "--data {store} --model {model} --out {new} --epoch 3", "unrecognized arguments"),
    ("mlm", "--data {store} --model {model} --out {new} --tokens-per-batch 5", "the longest example"),
    ("mlm", "--data {store} --model {model} --out {new} --global-micro-batches 9999", "too few"),
    ("mlm", "--data {store} --model {model} --out {new} --max-steps 5 --max-minutes 5", "give one of them"),
    ("mlm", "--data {store} --model {model} --out {new} --max-steps 5 --head-warmup-steps 6", "more than"),
    ("mlm", "--data {store} --model {short} --out {new} --unit section", "--max-tokens 16"),
    ("triplet", "--data {store} --model {model} --out {new} --max-songs 1", "two songs"),
    ("triplet", "--data {store} --model {model} --out {new} --loss contrastive", "invalid choice"),
    ("triplet", "--data {store} --out {new}", "--model"),
    ("fill", "[MASK]", "--model"),
    ("fill", "[MASK] --model {nowhere}", "no such directory"),
    ("compare", "--data {store} --base {model} --adapted {model} --out {store}", "exists already"),
    ("compare", "--data {store} --base {model} --adapted {nowhere} --out {new}", "no such directory"),
    ("compare", "--data {nowhere} --base {model} --adapted {model} --out {new}", "not a token store"),
    ("compare", "--data {store} --base {model} --adapted {model} --out {new} --seeds 0", "--seeds 0"),
]


@pytest.fixture
def places(tmp_path, store_dir, songs_file, model_dir, tokenizer):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    make_model(tmp_path / "short", BertForMaskedLM, tokenizer, positions=16)
    return {
        "songs": songs_file,
        "store": store_dir,
        "model": model_dir,
        "new": tmp_path / "new",
        "nowhere": tmp_path / "nowhere",
        "empty": tmp_path / "empty.txt",
        "folder": tmp_path / "folder",
        "image": tmp_path / "image.png",
        "full": tmp_path / "full",
        "short": tmp_path / "short",
    }


@pytest.mark.parametrize(("command", "arguments", "complaint"), CASES)
def test_one_line_and_status_2(places, tmp_path, capfd, command, arguments, complaint):
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    words = [word.format(**places) for word in arguments.split()]
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: call(COMMANDS[command].main, *words))
    assert caught.value.code == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("error: ")
    assert complaint in said[0]
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "command", [["train_mlm.py"], ["train_triplet.py"], ["-m", "lyricbert.prepare"], ["-m", "lyricbert.compare"]]
)
def test_the_real_command_ends_with_status_2(command, tmp_path):
    done = subprocess.run(
        [sys.executable, *command, "--nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_an_unreachable_hub_is_said(tmp_path, store_dir, capfd):
    with pytest.raises(SystemExit):
        run_command(
            lambda: call(train_mlm.main, "--data", store_dir, "--model", "bert-base-uncased", "--out", tmp_path / "x")
        )
    said = capfd.readouterr().err
    assert said.startswith("error: bert-base-uncased: no BERT model could be loaded")
    assert "where the hub can be reached" in said
    assert len(said.splitlines()) == 1


def test_more_processes_than_micro_batches_are_refused(tmp_path, store_dir, model_dir):
    process = torchrun(
        2, "train_mlm.py", "--data", store_dir, "--model", model_dir, "--out", tmp_path / "x",
        "--global-micro-batches", 3,
    )  # fmt: skip
    errors = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert errors.count("error: --global-micro-batches 3: must be a multiple of the number of processes, 2") == 1
    assert not (tmp_path / "x").exists()
