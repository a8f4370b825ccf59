"""Nothing pickled is ever loaded as code: a payload in place of each file that is read does not run."""

import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call, make_songs

import train_mlm
import train_triplet
from lyricbert import compare, fill, prepare
from lyricbert.errors import UserError
from lyricbert.files import sha256_of, write_json
from lyricbert.models.history import RUNS_FILE, SONGS_FILE
from lyricbert.songs.store import ARRAYS, open_store, sum_of

CHECKPOINT_FILES = ("model.safetensors", "optimizer.pt", "state.json")
MODEL_FILES = ("model.safetensors", "pytorch_model.bin", "config.json", "tokenizer.json", "tokenizer_config.json")


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self._path = path

    def __reduce__(self):
        return open, (str(self._path), "w")


def object_array(planted: Planted) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([planted], dtype=object), allow_pickle=True)
    return file.getvalue()


def torch_file(planted: Planted) -> bytes:
    file = io.BytesIO()
    torch.save({"optimizer": planted}, file)
    return file.getvalue()


KINDS = {"pickle": pickle.dumps, "npy": object_array, "torch": torch_file}


@pytest.fixture(params=KINDS)
def payload(request, tmp_path) -> bytes:
    content = KINDS[request.param](Planted(tmp_path / "planted"))
    if request.param == "pickle":  # the test can fail
        pickle.loads(content).close()
        (tmp_path / "planted").unlink()
    return content


def attempt(tmp_path: Path, main, *arguments: object) -> None:
    """Whatever the command says to it, nothing was planted."""
    with pytest.raises((UserError, SystemExit)):
        call(main, *arguments)
    assert not (tmp_path / "planted").exists()


@pytest.fixture(scope="module")
def finished(work, store_dir, model_dir) -> Path:
    out = work / "pickles"
    call(train_mlm.main, "--data", store_dir, "--model", model_dir, "--out", out, "--max-steps", 2)
    return out


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_in_a_checkpoint_with_a_valid_manifest(finished, tmp_path, store_dir, model_dir, payload, name):
    run = shutil.copytree(finished, tmp_path / "run")
    checkpoint = run / "checkpoints/step-00000002"
    (checkpoint / name).write_bytes(payload)
    write_json(checkpoint / "manifest.json", {each: sha256_of(checkpoint / each) for each in CHECKPOINT_FILES})
    attempt(
        tmp_path, train_mlm.main, "--data", store_dir, "--model", model_dir, "--out", run, "--max-steps", 2,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["checkpoints/step-00000002/manifest.json", "metrics.jsonl", "config.json"])
def test_in_a_run(finished, tmp_path, store_dir, model_dir, payload, name):
    """A resume reads only the manifest; the other two files are rewritten."""
    run = shutil.copytree(finished, tmp_path / "run")
    (run / name).write_bytes(payload)
    arguments = ("--data", store_dir, "--model", model_dir, "--out", run, "--max-steps", 2)
    if "manifest" in name:
        attempt(tmp_path, train_mlm.main, *arguments)
    else:
        call(train_mlm.main, *arguments)
        assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("name", ["meta.json", *(f"{name}.npy" for name in ARRAYS)])
def test_in_a_store(tmp_path, store_dir, model_dir, payload, name):
    store = shutil.copytree(store_dir, tmp_path / "store")
    (store / name).write_bytes(payload)
    for main in (train_mlm.main, train_triplet.main):
        attempt(tmp_path, main, "--data", store, "--model", model_dir, "--out", tmp_path / "run")


@pytest.mark.parametrize("name", MODEL_FILES)
def test_in_a_model(tmp_path, store_dir, model_dir, payload, name):
    model = shutil.copytree(model_dir, tmp_path / "model")
    if name == "pytorch_model.bin":
        (model / "model.safetensors").unlink()
    (model / name).write_bytes(payload)
    attempt(tmp_path, train_mlm.main, "--data", store_dir, "--model", model, "--out", tmp_path / "run")
    attempt(tmp_path, fill.main, "[MASK]", "--model", model)
    attempt(
        tmp_path, compare.main, "--data", store_dir, "--base", model, "--adapted", model, "--out", tmp_path / "report"
    )


@pytest.mark.parametrize("name", [RUNS_FILE, SONGS_FILE])
def test_in_the_history_of_a_model(finished, tmp_path, store_dir, payload, name):
    """Its checksum is valid."""
    model = shutil.copytree(finished / "model", tmp_path / "model")
    document = json.loads((model / RUNS_FILE).read_text())
    (model / name).write_bytes(payload)
    if name == SONGS_FILE:
        write_json(model / RUNS_FILE, {**document, "songs": {"sha256": sha256_of(model / SONGS_FILE)}})
    attempt(tmp_path, train_mlm.main, "--data", store_dir, "--model", model, "--out", tmp_path / "run")
    attempt(
        tmp_path, compare.main, "--data", store_dir, "--base", model, "--adapted", model, "--out", tmp_path / "report"
    )


def test_code_beside_a_model_is_not_imported(tmp_path, store_dir, model_dir):
    model = shutil.copytree(model_dir, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    auto_map = {"AutoConfig": "planted.Config", "AutoModelForMaskedLM": "planted.Model", "AutoTokenizer": "planted.T"}
    (model / "config.json").write_text(json.dumps({**config, "model_type": "planted", "auto_map": auto_map}))
    (model / "planted.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w')\n")
    attempt(tmp_path, train_mlm.main, "--data", store_dir, "--model", model, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    "suffix", [".txt", ".lrc", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt.gz", ".txt.zst"]
)
def test_in_lyrics(tmp_path, model_dir, payload, suffix):
    path = tmp_path / ("lyrics" + (".txt" if suffix in (".gz", ".zst") else "") + suffix)
    path.write_bytes(payload)
    attempt(tmp_path, prepare.main, path, "--out", tmp_path / "store", "--tokenizer", model_dir)


def test_names_in_the_data_never_become_paths(tmp_path, model_dir):
    """Titles and artists that are paths, and members of an archive that would be: nothing is made but the store."""
    names = ["../../escaped", "/tmp/escaped", str(tmp_path / "escaped"), "a/b/c", "..", "nul\0byte", "x" * 5000]
    songs = [{**song, "title": name, "artist": name} for song, name in zip(make_songs(7, seed=2), names, strict=True)]
    (tmp_path / "songs.jsonl").write_text("".join(json.dumps(song) + "\n" for song in songs))
    out = tmp_path / "store"
    call(prepare.main, tmp_path / "songs.jsonl", "--out", out, "--tokenizer", model_dir, "--val-fraction", 0.3)
    assert len(open_store(out).song_split) == 7
    assert {path.name for path in tmp_path.iterdir()} == {"songs.jsonl", "store"}
    expected = {"meta.json", "tokenizer", "songs.jsonl", "sources.jsonl", *(f"{name}.npy" for name in ARRAYS)}
    assert {path.name for path in out.iterdir()} == expected


def test_names_in_a_manifest_or_a_store_never_become_paths(finished, tmp_path, store_dir, model_dir):
    store = shutil.copytree(store_dir, tmp_path / "store")
    meta = json.loads((store / "meta.json").read_text())
    meta["arrays"]["../../escaped"] = meta["arrays"]["tokens"]
    meta["tokenizer"]["name"] = str(tmp_path / "escaped")
    write_json(store / "meta.json", {**meta, "sha256": sum_of(meta)})
    assert open_store(store).path == store  # what else it names is not looked at
    run = shutil.copytree(finished, tmp_path / "run")
    checkpoint = run / "checkpoints/step-00000002"
    sums = {name: sha256_of(checkpoint / name) for name in CHECKPOINT_FILES}
    write_json(checkpoint / "manifest.json", {**sums, "../../../escaped": "0"})
    call(train_mlm.main, "--data", store_dir, "--model", model_dir, "--out", run, "--max-steps", 2)
    assert not list(tmp_path.rglob("escaped"))
