import subprocess
import sys

from conftest import ROOT, finish, torchrun

from benchmarks.chaos import differences

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
    common = ["--data", store_dir, "--model", model_dir, "--log-every", 1, "--max-steps", 60, *SETTINGS]
    finish(torchrun(2, "train_mlm.py", *common, "--out", tmp_path / "alone"))
    faults = ("die", 1, 20, 20)
    errors = finish(torchrun(2, "tests/faulty.py", *faults, *common, "--out", tmp_path / "killed", restarts=3))
    assert errors.count("going on from") == 1
    assert differences(tmp_path / "alone", tmp_path / "killed") == []
