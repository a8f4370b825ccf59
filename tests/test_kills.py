import subprocess
import sys

from conftest import ROOT, torchrun

from lyricbert.metrics import read_metrics

SETTINGS = ("--tokens-per-batch", "128", "--checkpoint-every", "7", "--keep-last", "2", "--eval-every", "40")


def test_a_run_killed_ten_times_is_bit_for_bit_the_one_left_alone(tmp_path, store_dir, model_dir):
    command = [sys.executable, ROOT / "benchmarks/chaos.py", "--data", store_dir, "--model", model_dir]
    settings = ["--work", tmp_path, "--kills", 10, "--", "--max-steps", 400, *SETTINGS]
    done = subprocess.run([str(part) for part in [*command, *settings]], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 kills" in done.stdout
    assert "bit for bit the same" in done.stdout


def test_torchrun_starts_a_killed_rank_again_and_the_run_goes_on(tmp_path, store_dir, model_dir):
    """`--max-restarts`: one rank is killed, torchrun starts the group again, which goes on from the last checkpoint."""
    run = tmp_path / "run"
    arguments = ["--data", store_dir, "--model", model_dir, "--out", run, "--log-every", 1, "--max-steps", 60]
    process = torchrun(2, "tests/faulty.py", "die", 1, 20, 20, *arguments, *SETTINGS, restarts=3)
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 0, errors
    assert "going on from" in errors
    steps = [record["step"] for record in read_metrics(run / "metrics.jsonl") if "train/loss" in record]
    assert steps == list(range(1, 61))
    assert (run / "model").is_dir()
