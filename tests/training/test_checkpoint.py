import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import call, no_file_beyond, torchrun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForMaskedLM

import train_mlm
from lyricbert import prepare
from lyricbert.batches.sampler import LengthBucketSampler
from lyricbert.errors import UserError
from lyricbert.files import sha256_of, write_json
from lyricbert.training.checkpoint import checkpoints, leftovers, newest_verified, prune, verify
from lyricbert.training.metrics import read_metrics


@pytest.fixture(scope="module")
def finished(work, store_dir, model_dir) -> Path:
    call(train_mlm.main, *arguments(store_dir, model_dir, work / "six steps"))
    return work / "six steps"


@pytest.fixture
def run(tmp_path, finished) -> Path:
    """A copy that a test can damage."""
    return shutil.copytree(finished, tmp_path / "run")


def arguments(store_dir, model_dir, out) -> list[object]:
    return [
        *("--data", store_dir, "--model", model_dir, "--out", out, "--max-steps", 6, "--checkpoint-every", 2),
        *("--keep-last", 5, "--tokens-per-batch", 256, "--log-every", 1),
    ]


def test_checkpoints_are_valid_and_newest_first(run):
    found = checkpoints(run / "checkpoints")
    assert [path.name for path in found] == ["step-00000006", "step-00000004", "step-00000002"]
    assert all(verify(path) is None for path in found)
    assert not list((run / "checkpoints").glob(".*"))


FILES = ["model.safetensors", "optimizer.pt", "state.json", "manifest.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_skipped(run, name, damage):
    path = run / "checkpoints/step-00000006" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "remove":
        path.write_bytes(content if damage == "flip" else content[:-3])
    newest, warnings = newest_verified(run / "checkpoints")
    assert newest.name == "step-00000004"
    assert len(warnings) == 1
    assert "step-00000006" in warnings[0]


def test_a_run_resumes_from_the_newest_valid_checkpoint(run, store_dir, model_dir, capfd):
    before = read_metrics(run / "metrics.jsonl")
    (run / "checkpoints/step-00000006/model.safetensors").write_bytes(b"")
    call(train_mlm.main, *arguments(store_dir, model_dir, run))
    said = capfd.readouterr().err
    assert "does not match its checksum" in said
    assert "resuming from" in said
    assert verify(run / "checkpoints/step-00000006") is None
    after = read_metrics(run / "metrics.jsonl")
    assert [(record["step"], record.get("train/loss")) for record in after] == [
        (record["step"], record.get("train/loss")) for record in before
    ]


def test_incomplete_checkpoints_are_ignored(run):
    directory = run / "checkpoints"
    (directory / ".step-00000008.tmp-1").mkdir()
    (directory / ".step-00000001.removed").mkdir()
    assert len(checkpoints(directory)) == 3
    assert {path.name for path in leftovers(directory)} == {".step-00000008.tmp-1", ".step-00000001.removed"}


def test_the_newest_and_the_best_checkpoints_are_kept(run):
    prune(run / "checkpoints", keep_last=1, best_step=2)
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000006", "step-00000002"]


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), bit=st.none() | st.integers(0, 7))
def test_a_flipped_bit_or_a_truncated_file_is_detected(tmp_path, finished, name, where, bit):
    """After a flipped bit or a truncation at any place, the checkpoint is skipped and the previous one is used."""
    if not (tmp_path / "checkpoints").exists():
        shutil.copytree(finished / "checkpoints", tmp_path / "checkpoints")
    path = tmp_path / "checkpoints/step-00000006" / name
    whole = path.read_bytes()
    place = int(where * len(whole))
    flipped = whole[:place] + (b"" if bit is None else bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    try:
        path.write_bytes(flipped)
        newest, warnings = newest_verified(tmp_path / "checkpoints")
    finally:
        path.write_bytes(whole)
    assert newest.name == "step-00000004"
    assert [str(path.parent) in warning for warning in warnings] == [True]


def test_no_valid_checkpoint_is_an_error_and_changes_nothing(run, store_dir, model_dir):
    for checkpoint in checkpoints(run / "checkpoints"):
        (checkpoint / "optimizer.pt").write_bytes(b"")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(UserError, match=r"checkpoints: has no valid checkpoint; remove it to start from step 0"):
        call(train_mlm.main, *arguments(store_dir, model_dir, run))
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("--lr", 1e-3), "saved with lr 5e-05, this run has 0.001"),
        (("--tokens-per-batch", 512), "saved with tokens_per_batch 256, this run has 512"),
        (("--precision", "fp16"), "saved with precision "),
        (("--global-micro-batches", 8), "saved with global_micro_batches 4, this run has 8"),
        (("--model", "{other model}"), "saved with model "),
        (("--data", "{other store}"), "saved with store "),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(run, tmp_path, store_dir, model_dir, songs_file, change, complaint):
    places = {"{other model}": tmp_path / "model", "{other store}": tmp_path / "store"}
    shutil.copytree(model_dir, tmp_path / "model")
    flags = ("--out", tmp_path / "store", "--tokenizer", model_dir, "--val-fraction", 0.3)
    call(prepare.main, songs_file, *flags)
    value = places.get(change[1], change[1])
    with pytest.raises(UserError, match=f"step-00000006: {complaint}"):
        call(train_mlm.main, *arguments(store_dir, model_dir, run), change[0], value)


SAMPLER_VERSION = LengthBucketSampler.version


@pytest.mark.parametrize(("saved", "said"), [(None, 1), (SAMPLER_VERSION - 1, SAMPLER_VERSION - 1), (99, 99)])
def test_a_checkpoint_of_another_version_of_the_sampler_is_refused(run, store_dir, model_dir, saved, said):
    """Its steps had different batches. The first release saved no version."""
    checkpoint = run / "checkpoints/step-00000006"
    state = json.loads((checkpoint / "state.json").read_text())
    assert state["identity"].pop("sampler") == SAMPLER_VERSION
    if saved is not None:
        state["identity"]["sampler"] = saved
    write_json(checkpoint / "state.json", state)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    write_json(checkpoint / "manifest.json", {**manifest, "state.json": sha256_of(checkpoint / "state.json")})
    assert verify(checkpoint) is None
    complaint = rf"different batches \(sampler version {said}, this one has {SAMPLER_VERSION}\); give another --out"
    with pytest.raises(UserError, match=complaint) as error:
        call(train_mlm.main, *arguments(store_dir, model_dir, run))
    assert "\n" not in str(error.value)


def test_a_checkpoint_is_refused_if_the_model_has_changed(tmp_path, store_dir, model_dir, tokenizer):
    shutil.copytree(model_dir, tmp_path / "model")
    call(train_mlm.main, *arguments(store_dir, tmp_path / "model", tmp_path / "run"))
    config = BertConfig.from_pretrained(model_dir, num_hidden_layers=1)
    BertForMaskedLM(config).save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="its parameters do not match --model"):
        call(train_mlm.main, *arguments(store_dir, tmp_path / "model", tmp_path / "run"))


@pytest.mark.parametrize("share", [0.5, 1.5])
@pytest.mark.parametrize("flags", [(), ("--keep-going",)])
def test_a_full_disk(run, store_dir, model_dir, capfd, share, flags):
    """Limits files to a share of the size of the weights. The optimizer's file is larger than the weights."""
    whole = (run / "model/model.safetensors").stat().st_size
    for step in (4, 6):
        shutil.rmtree(run / f"checkpoints/step-{step:08d}")
    shutil.rmtree(run / "model")
    has_room_for_the_model = share > 1 and bool(flags)
    with no_file_beyond(int(share * whole)):
        if has_room_for_the_model:
            call(train_mlm.main, *arguments(store_dir, model_dir, run), *flags)
            assert capfd.readouterr().err.count("warning: ") == 2
        else:
            with pytest.raises(UserError, match=r"cannot be written .*File too large.*; (earlier checkpoints|free)"):
                call(train_mlm.main, *arguments(store_dir, model_dir, run), *flags)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000002"]
    assert verify(run / "checkpoints/step-00000002") is None
    assert (run / "model").is_dir() == has_room_for_the_model
    assert not [path for path in run.iterdir() if path.name.startswith(".model")]
    # When there is space again, the same command resumes.
    call(train_mlm.main, *arguments(store_dir, model_dir, run))
    assert verify(run / "checkpoints/step-00000006") is None
    assert (run / "model").is_dir()


def test_both_processes_stop_if_one_cannot_write(tmp_path, store_dir, model_dir):
    """The disk of rank 0 is full. All ranks end, and none prints a traceback."""
    with small_disk(tmp_path / "disk", kibibytes=700) as disk:
        process = torchrun(2, "train_mlm.py", *arguments(store_dir, model_dir, disk / "run"))
        errors = process.communicate()[1]
        assert process.returncode != 0
        assert errors.count("cannot be written") == 1
        assert "No space left on device" in errors
        assert "RuntimeError" not in errors
        found = list((disk / "run/checkpoints").iterdir())
        assert [verify(checkpoint) for checkpoint in found] in ([None], [None, None])


@contextmanager
def small_disk(place: Path, kibibytes: int) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", place]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
