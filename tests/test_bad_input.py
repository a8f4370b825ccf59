"""Each command's commonest mistakes: one line that says what is wrong, exit status 2, nothing written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, call, make_model, torchrun
from forked import PATIENCE
from transformers import BertForMaskedLM

import train_mlm
import train_triplet
from lyricbert import compare, fill, prepare
from lyricbert.errors import run_command
from lyricbert.songs.store import ARRAYS, open_store, sum_of

COMMANDS = {"prepare": prepare, "mlm": train_mlm, "triplet": train_triplet, "fill": fill, "compare": compare}

CASES = [
    ("prepare", "{songs} --out {new} --tokenizer {nowhere}", "no such directory"),
    ("prepare", "{nowhere} --out {new} --tokenizer {model}", "no such file or folder"),
    ("prepare", "{songs} --out {store} --tokenizer {model}", "exists already"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --val-fraction 1", "--val-fraction 1"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --max-tokens 3", "must be 8 or more"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --max-tokens 99999999999", "less than 2^31"),
    ("prepare", "{songs} --tokenizer {model}", "--out: missing"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --workers 0", "--workers 0"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --near-duplicates merge", "invalid choice"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --rows 5:5", "--rows 5:5: must be A:B"),
    ("prepare", "{songs} --out {new} --rows 0:5 --val-fraction 0.5", "--val-fraction cannot be combined with --rows"),
    ("prepare", "{songs} --out {new} --ranges 5", "--out cannot be combined with --ranges"),
    ("prepare", "{songs} --show-cleaning 5 --seed 5", "--seed cannot be combined with --show-cleaning"),
    ("prepare", "{store} --join --out {new} --max-tokens 16", "--max-tokens cannot be combined with --join"),
    ("prepare", "{store} --join", "--out: missing"),
    ("prepare", "{store} {songs} --join --out {new}", "not a token store"),
    ("prepare", "{store} {nowhere} --join --out {new}", "not a token store"),
    ("prepare", "{store} --join --out {store}", "exists already"),
    ("prepare", "{store} --describe --verify", "cannot be combined"),
    ("prepare", "{store} --describe --out {new}", "--out cannot be combined with --describe"),
    ("prepare", "{store} {store} --verify", "one token store, not 2"),
    ("prepare", "{songs} --verify", "not a token store"),
    ("prepare", "{nowhere} --describe", "not a token store"),
    ("prepare", "--describe", "SOURCE"),
    ("prepare", "{empty} --out {new} --tokenizer {model}", "no lyrics"),
    ("prepare", "{folder} --out {new} --tokenizer {model}", "no .txt"),
    ("prepare", "{image} --out {new} --tokenizer {model}", "unsupported file type"),
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
    ("compare", "--data {store} --base {model} --adapted {model} --out {store}", "not the directory of a comparison"),
    ("compare", "--data {store} --base {model} --adapted {nowhere} --out {new}", "no such directory"),
    ("compare", "--data {nowhere} --base {model} --adapted {model} --out {new}", "not a token store"),
    ("compare", "--data {store} --base {model} --adapted {model} --out {new} --seeds 0", "--seeds 0"),
    ("mlm", "--data {store} --model {model} --out {new} --lr inf", "and finite"),
    ("mlm", "--data {store} --model {model} --out {new} --seed -1", "--seed -1"),
    ("mlm", "--data {store} --model {model} --out {new} --max-bad-steps 0", "--max-bad-steps 0"),
    ("mlm", "--data {store} --model {model} --out {new} --layout packed --tokens-per-batch 64", "packed row"),
    ("mlm", "--data {store} --model {model} --out {file}", "not a run's directory"),
    ("mlm", "--data {store} --model {model} --out {file}/run", "Not a directory"),
    ("mlm", "--data {store} --model {model} --out {long}", "File name too long"),
    ("mlm", "--data {file} --model {model} --out {new}", "not a token store"),
    ("mlm", "--data {store} --model {file} --out {new}", "no such directory"),
    ("prepare", "{songs} --out {file}/store --tokenizer {model}", "Not a directory"),
    ("prepare", "{songs} --out {new} --tokenizer {model} --val-fraction nan", "--val-fraction nan"),
    ("triplet", "--data {store} --model {model} --out {new} --tokens-per-batch 10", "room for two songs"),
    ("fill", "night --model {model}", "[MASK] 0 times"),
    ("fill", "[MASK]\udcff --model {model}", "not UTF-8"),
    ("compare", "--data {store} --base {model} --adapted {model} --out {new} --max-songs 1", "two songs"),
]

NO_SONGS = "no lyrics"
# What `prepare` is given: (the name of the file, its content, what is said).
LYRICS = [
    ("empty.txt", b"", NO_SONGS),
    ("spaces.txt", b" \t\r\n" * 1000, NO_SONGS),
    ("lines.txt", b"\n" * 100_000, NO_SONGS),
    ("lines.jsonl", b"\n" * 100_000, "no `lyrics` field"),
    ("punctuation.txt", b"...\n!!!\n\n???", "3 lines without words"),
    ("emoji.txt", "🎵🎵\n😀".encode(), "2 lines without words"),
    ("unknown script.txt", "שלום עולם\n\u0645\u0631\u062d\u0628\u0627".encode(), "2 lines unknown to the tokenizer"),
    ("one line.txt", b"night moon", "only one song"),
    ("one song.txt", b"night moon\nrain\n\nfire", "only one song"),
    ("nul.txt", b"night\0moon\nrain", "only one song"),
    ("ten megabytes.txt", b"night moon " * 900_000, "only one song"),
    ("one word.txt", b"n" * 10_000_000, "1 lines unknown to the tokenizer"),
    ("same twice.jsonl", b'{"lyrics": "night moon"}\n' * 2, "only one song"),
    ("same line.jsonl", b'{"lyrics": "night"}\n{"lyrics": "night\\nnight"}\n', "all 2 songs are near duplicates"),
    ("binary.txt", bytes(range(256)) * 100, "not UTF-8"),
    ("latin1.txt", "café au lait".encode("latin1"), "not UTF-8"),
    ("latin1.csv", "lyrics\ncafé".encode("latin1"), "not UTF-8"),
    ("utf16.jsonl", '{"lyrics": "night"}'.encode("utf-16"), "not UTF-8"),
    ("nul.jsonl", b'{"lyrics": "ni\0ght"}', "line 1 is not JSON"),
    ("half.json", b'{"lyrics": ', "not JSON"),
    ("deep.json", b"[" * 100_000 + b"]" * 100_000, "not JSON that Python can read"),
    ("digits.json", b'{"lyrics": ' + b"9" * 10_000 + b"}", "not JSON that Python can read"),
    ("null.json", b"null", "no `lyrics` field"),
    ("other field.json", b'{"text": "night"}', "no `lyrics` field"),
    ("number.json", b'{"lyrics": 5}', NO_SONGS),
    ("half.jsonl", b'{"lyrics": "night"}\n{"lyrics": "mo', "line 2 is not JSON"),
    ("numbers.jsonl", b"[1, 2]", "line 1 has no `lyrics` field"),
    ("surrogate.jsonl", b'{"lyrics": "\\ud800"}', NO_SONGS),
    ("empty.csv", b"", "no column named"),
    ("columns.csv", b"a,b\n1,2\n", "no column named"),
    ("quote.csv", b'lyrics\n"night', "not CSV"),
    ("short rows.csv", b"title,lyrics\na\nb\n", NO_SONGS),
]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_meta(store: Path, **changes: object) -> None:
    """Change meta.json, with its checksum."""
    meta = {**json.loads((store / "meta.json").read_text()), **changes}
    edit(store / "meta.json", **changes, sha256=sum_of(meta))


def lengthen(path: Path) -> None:
    """The last line ends where there is no token."""
    offsets = np.load(path)
    offsets[-1] += 1000
    np.save(path, offsets)


# What is done to a store, and what is said.
STORES = {
    **{
        f"{name} truncated": (lambda store, name=name: truncate(store / f"{name}.npy"), f"{name}.npy")
        for name in ARRAYS
    },
    "an array gone": (lambda store: (store / "tokens.npy").unlink(), "tokens.npy: missing"),
    "an empty array": (lambda store: (store / "tokens.npy").write_bytes(b""), "tokens.npy: missing or damaged"),
    "offsets beyond the end": (lambda store: lengthen(store / "line_offsets.npy"), "arrays do not match"),
    "meta truncated": (lambda store: truncate(store / "meta.json"), "meta.json: damaged"),
    "meta a list": (lambda store: (store / "meta.json").write_text("[]"), "meta.json: damaged"),
    "meta without arrays": (lambda store: edit(store / "meta.json", arrays=None), "meta.json: damaged"),
    "meta without tokenizer": (lambda store: edit(store / "meta.json", tokenizer=None), "meta.json: damaged"),
    "an older version": (lambda store: edit(store / "meta.json", format_version=1), "store format 1"),
    "a newer version": (lambda store: edit(store / "meta.json", format_version=3), "store format 3"),
    "another tokenizer": (
        lambda store: edit_meta(store, tokenizer={"name": "other", "fingerprint": "0"}),
        "prepared with the tokenizer other",
    ),
    "a changed meta": (lambda store: edit(store / "meta.json", seed=9), "meta.json: damaged, because"),
}

# What is done to a model's directory, and what is said.
MODELS = {
    "no files": (lambda model: [path.unlink() for path in model.iterdir()], "no BERT model could be loaded"),
    "no weights": (lambda model: (model / "model.safetensors").unlink(), "no BERT model could be loaded"),
    "weights truncated": (lambda model: truncate(model / "model.safetensors"), "no BERT model could be loaded"),
    "weights empty": (lambda model: (model / "model.safetensors").write_bytes(b""), "no BERT model could be loaded"),
    "no config": (lambda model: (model / "config.json").unlink(), "no BERT model could be loaded"),
    "config truncated": (lambda model: truncate(model / "config.json"), "no BERT model could be loaded"),
    "no BERT": (lambda model: (model / "config.json").write_text('{"model_type": "gpt2"}'), "a model of type gpt2"),
    "a decoder": (lambda model: edit(model / "config.json", is_decoder=True), "configured as a decoder"),
    "another vocabulary size": (lambda model: edit(model / "config.json", vocab_size=99), "not what config.json says"),
    "another width": (lambda model: edit(model / "config.json", hidden_size=48), "not what config.json says"),
    "more layers": (lambda model: edit(model / "config.json", num_hidden_layers=5), "not what config.json says"),
    "tokenizer damaged": (lambda model: truncate(model / "tokenizer.json"), "no tokenizer could be loaded"),
}


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
        "file": songs_file,
        "long": tmp_path / ("n" * 300),
    }


@pytest.mark.parametrize(("command", "arguments", "complaint"), CASES)
def test_one_line_and_status_2(places, tmp_path, capfd, command, arguments, complaint):
    words = [word.format(**places) for word in arguments.split()]
    assert complaint in refusal(tmp_path, capfd, command, *words)


@pytest.mark.parametrize("words", [("", "--out", "new"), ("songs", "--out", "")])
def test_an_empty_path_is_not_the_current_folder(tmp_path, capfd, words):
    assert "an empty path" in refusal(tmp_path, capfd, "prepare", *words)


def refusal(folder: Path, capfd: pytest.CaptureFixture, command: str, *words: object) -> str:
    """The one line that a command ends with, which leaves everything in `folder` as it was."""
    before = contents(folder)
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: call(COMMANDS[command].main, *words))
    assert caught.value.code == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("error: ")
    assert contents(folder) == before
    return said[0]


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("name", "content", "complaint"), LYRICS, ids=[name for name, _, _ in LYRICS])
def test_lyrics_that_cannot_be_used(tmp_path, model_dir, capfd, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    said = refusal(tmp_path, capfd, "prepare", tmp_path / name, "--out", tmp_path / "new", "--tokenizer", model_dir)
    assert complaint in said
    assert name in said


@pytest.mark.parametrize("damage", STORES)
def test_a_store_that_cannot_be_used(tmp_path, store_dir, model_dir, capfd, damage):
    shutil.copytree(store_dir, tmp_path / "store")
    do, complaint = STORES[damage]
    do(tmp_path / "store")
    arguments = ("--data", tmp_path / "store", "--model", model_dir, "--out", tmp_path / "new")
    said = refusal(tmp_path, capfd, "mlm", *arguments)
    assert complaint in said
    assert str(tmp_path / "store") in said
    assert "prepare" in said


@pytest.mark.parametrize("damage", MODELS)
def test_a_model_that_cannot_be_used(tmp_path, store_dir, model_dir, capfd, damage):
    shutil.copytree(model_dir, tmp_path / "model")
    do, complaint = MODELS[damage]
    do(tmp_path / "model")
    arguments = ("--data", store_dir, "--model", tmp_path / "model", "--out", tmp_path / "new")
    said = refusal(tmp_path, capfd, "mlm", *arguments)
    assert complaint in said
    assert str(tmp_path / "model") in said


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_tensorboard_directory_that_cannot_be_written(tmp_path, store_dir, model_dir, capfd, is_directory):
    arguments = ("--data", store_dir, "--model", model_dir, "--out", tmp_path / "run", "--max-steps", 1)
    call(train_mlm.main, *arguments)
    shutil.rmtree(tmp_path / "run/tensorboard")
    shutil.rmtree(tmp_path / "run/checkpoints")
    if is_directory:
        (tmp_path / "run/tensorboard").symlink_to("/proc")  # here even root cannot create a file
    else:
        (tmp_path / "run/tensorboard").write_text("notes")
    capfd.readouterr()
    said = refusal(tmp_path, capfd, "mlm", *arguments, "--lr", 1)
    reason = "No such file or directory" if is_directory else "Not a directory"
    assert f"{tmp_path}/run/tensorboard: cannot be written ({reason}); remove it" in said


def test_odd_lyrics_that_can_be_used(tmp_path, model_dir, capfd):
    """A byte order mark, NUL, lone surrogates, emoji, right-to-left text and a line of megabytes between others."""
    lyrics = ["night moon", "ni\0ght\nrain", "fire \ud800 road", "🎵 silver 🎵", "שלום gold", "home " * 1_000_000]
    text = "\ufeff" + "".join(json.dumps({"lyrics": lyric}) + "\n" for lyric in lyrics)
    (tmp_path / "odd.jsonl").write_text(text, encoding="utf-8")
    out = tmp_path / "store"
    call(prepare.main, tmp_path / "odd.jsonl", "--out", out, "--tokenizer", model_dir, "--val-fraction", 0.5)
    store = open_store(out)
    assert len(store.song_split) == len(lyrics)
    assert len(store.line_offsets) == 8
    assert np.diff(store.line_offsets).max() == 62
    assert store.meta["dropped"]["lines cut at --max-tokens (kept)"] == 1


@pytest.mark.parametrize(
    "command", [["train_mlm.py"], ["train_triplet.py"], ["-m", "lyricbert.prepare"], ["-m", "lyricbert.compare"]]
)
def test_the_real_command_ends_with_status_2(command, tmp_path):
    done = subprocess.run(
        [sys.executable, *command, "--nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
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
    assert "if the hub can be reached" in said
    assert len(said.splitlines()) == 1


def test_more_processes_than_micro_batches_are_refused(tmp_path, store_dir, model_dir):
    process = torchrun(
        2, "train_mlm.py", "--data", store_dir, "--model", model_dir, "--out", tmp_path / "x",
        "--global-micro-batches", 3,
    )  # fmt: skip
    errors = process.communicate()[1]
    assert process.returncode != 0
    assert errors.count("error: --global-micro-batches 3: must be a multiple of the number of processes, 2") == 1
    assert not (tmp_path / "x").exists()
