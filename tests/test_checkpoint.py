import pytest
import torch
from conftest import call

import train_mlm
from lyricbert.checkpoint import checkpoints, newest_verified, prune, remove_leftovers, verify
from lyricbert.errors import UserError
from lyricbert.files import sha256_of, write_json
from lyricbert.metrics import read_metrics


@pytest.fixture
def run(tmp_path, store_dir, model_dir):
    out = tmp_path / "run"
    call(train_mlm.main, *arguments(store_dir, model_dir, out))
    return out


def arguments(store_dir, model_dir, out) -> list[object]:
    return [
        *("--data", store_dir, "--model", model_dir, "--out", out, "--max-steps", 6, "--checkpoint-every", 2),
        *("--keep-last", 5, "--tokens-per-batch", 256, "--log-every", 1),
    ]


def test_checkpoints_are_whole_and_newest_first(run):
    found = checkpoints(run / "checkpoints")
    assert [path.name for path in found] == ["step-00000006", "step-00000004", "step-00000002"]
    assert all(verify(path) is None for path in found)
    assert not list((run / "checkpoints").glob(".*"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_passed_over(run, name, damage):
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


def test_a_run_goes_on_from_the_last_whole_checkpoint(run, store_dir, model_dir, capfd):
    before = read_metrics(run / "metrics.jsonl")
    (run / "checkpoints/step-00000006/model.safetensors").write_bytes(b"")
    call(train_mlm.main, *arguments(store_dir, model_dir, run))
    said = capfd.readouterr().err
    assert "does not match its checksum" in said
    assert "going on from" in said
    assert verify(run / "checkpoints/step-00000006") is None
    after = read_metrics(run / "metrics.jsonl")
    assert [(record["step"], record.get("train/loss")) for record in after] == [
        (record["step"], record.get("train/loss")) for record in before
    ]


def test_half_made_checkpoints_are_not_taken_for_checkpoints(run):
    directory = run / "checkpoints"
    (directory / ".step-00000008.tmp-1").mkdir()
    (directory / ".step-00000001.removed").mkdir()
    assert len(checkpoints(directory)) == 3
    remove_leftovers(directory)
    assert len(list(directory.iterdir())) == 3


def test_the_last_and_the_best_are_kept(run):
    prune(run / "checkpoints", keep_last=1, best_step=2)
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000006", "step-00000002"]


class Planted:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_in_place_of_the_optimizer_never_runs(run, store_dir, model_dir, tmp_path):
    checkpoint = run / "checkpoints/step-00000006"
    torch.save({"optimizer": Planted(tmp_path / "planted")}, checkpoint / "optimizer.pt")
    sums = {name: sha256_of(checkpoint / name) for name in ("model.safetensors", "optimizer.pt", "state.json")}
    write_json(checkpoint / "manifest.json", sums)
    with pytest.raises(UserError, match=r"optimizer\.pt"):
        call(train_mlm.main, *arguments(store_dir, model_dir, run))
    assert not (tmp_path / "planted").exists()
