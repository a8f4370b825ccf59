"""What only a GPU shows. `pytest -m gpu` runs these tests, and no others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from forked import PATIENCE

from lyricbert.training.metrics import read_metrics

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here, or torch is built without CUDA"),
]

FLAGS = (
    *("--max-steps", 20, "--tokens-per-batch", 256, "--lr", 1e-3),
    *("--log-every", 1, "--checkpoint-every", 10, "--keep-last", 9),
)


def losses(run: Path) -> dict[int, float]:
    return {
        record["step"]: record["train/loss"] for record in read_metrics(run / "metrics.jsonl") if "train/loss" in record
    }


def configuration(run: Path) -> dict[str, object]:
    return json.loads((run / "config.json").read_text())


def train(*arguments: object) -> str:
    """Run train_mlm.py in a new interpreter, since CUDA does not survive a fork. Returns its standard error."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    command += [str(word) for word in (ROOT / "train_mlm.py", *arguments)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_run_on_one_gpu_that_resumes_trains_as_one_that_was_not_stopped(precision, tmp_path, store_dir, model_dir):
    """To a tolerance: the backward passes of attention and of embeddings add up in no fixed order on a GPU."""
    run, resumed = tmp_path / "run", tmp_path / "resumed"
    arguments = ("--data", store_dir, "--model", model_dir, *FLAGS, "--precision", precision)
    train(*arguments, "--out", run)
    assert (configuration(run)["device"], configuration(run)["precision"]) == ("cuda", precision)
    shutil.copytree(run, resumed)
    shutil.rmtree(resumed / "model")
    shutil.rmtree(resumed / "checkpoints/step-00000020")
    assert "step-00000010" in train(*arguments, "--out", resumed)
    assert list(losses(resumed)) == list(range(1, 21))
    assert losses(resumed) == pytest.approx(losses(run), rel=2e-2 if precision == "bf16" else 2e-3)
    assert losses(run)[20] < losses(run)[1]


@pytest.mark.parametrize("visible", ["all", "one"])
def test_the_launcher_starts_one_process_per_gpu(visible, tmp_path, store_dir, model_dir):
    """As many as torch sees; a CUDA_VISIBLE_DEVICES that names one leaves one."""
    run = tmp_path / "run"
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": run, "PYTHON": sys.executable, "NPROC": ""}
    if visible == "one":
        settings["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    command = ["bash", ROOT / "launch/torchrun_mlm.sh", "--max-steps", "3", "--tokens-per-batch", "256"]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)
    assert configuration(run)["device"] == "cuda"
    assert configuration(run)["world_size"] == (torch.cuda.device_count() if visible == "all" else 1)
