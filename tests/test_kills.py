import random
import signal
import time
from contextlib import suppress
from itertools import count

import pytest
from conftest import call, finish, start, torchrun

from benchmarks import chaos

SETTINGS = ("--tokens-per-batch", "128", "--checkpoint-every", "7", "--keep-last", "2", "--eval-every", "40")


def test_a_run_killed_ten_times_is_bit_identical_to_an_uninterrupted_run(
    tmp_path, store_dir, model_dir, monkeypatch, capsys
):
    """Kills 1 and 6 use a real torchrun, the others forks, which start faster. Kill 6 is during a checkpoint."""
    starts, as_a_user = count(), chaos.torchrun
    monkeypatch.setattr(chaos, "torchrun", lambda *words: (as_a_user if next(starts) in (1, 6) else torchrun)(*words))
    settings = ["--data", store_dir, "--model", model_dir, "--work", tmp_path, "--kills", 10]
    with pytest.raises(SystemExit) as ended:
        call(chaos.main, *settings, "--", "--max-steps", 250, *SETTINGS)
    said = capsys.readouterr().out
    assert ended.value.code == 0, said
    assert "10 kills" in said
    assert "bit-identical" in said
    assert next(starts) == 12


def test_torchrun_restarts_a_killed_rank_and_the_run_resumes(tmp_path, store_dir, model_dir):
    """With `--max-restarts`, torchrun restarts all ranks after one is killed. They resume from a checkpoint."""
    common = ["--data", store_dir, "--model", model_dir, "--log-every", 1, "--max-steps", 60, *SETTINGS]
    finish(torchrun(2, "train_mlm.py", *common, "--out", tmp_path / "alone"))
    faults = ("die", 1, 20, 20)
    errors = finish(torchrun(2, "tests/faulty.py", *faults, *common, "--out", tmp_path / "killed", restarts=3))
    assert errors.count("resuming from") == 1
    assert chaos.differences(tmp_path / "alone", tmp_path / "killed") == []


COMPARISON = ("--max-songs", 12, "--epochs", 1, "--tokens-per-batch", 512, "--lr", 1e-3, "--seeds", 5)


def test_a_comparison_killed_ten_times_gives_the_report_of_an_uninterrupted_one(
    tmp_path, store_dir, model_dir, encoder_dir
):
    """The kills are at random moments: while the command starts, measures, or stores what it has measured."""
    arguments = ("--data", store_dir, "--base", model_dir, "--adapted", encoder_dir, *COMPARISON)
    finish(start("lyricbert/compare.py", *arguments, "--out", tmp_path / "alone"))
    source, results = random.Random(0), tmp_path / "killed" / "results"
    for _ in range(10):
        before = {path: path.stat().st_ino for path in results.glob("*.safetensors")}
        process, more = start("lyricbert/compare.py", *arguments, "--out", tmp_path / "killed"), source.randint(0, 2)
        while process.poll() is None and len(list(results.glob("*.safetensors"))) < len(before) + more:
            time.sleep(0.002)
        time.sleep(source.uniform(0, 0.3))
        with suppress(ProcessLookupError):  # it has ended
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert {path: path.stat().st_ino for path in before} == before
    finish(start("lyricbert/compare.py", *arguments, "--out", tmp_path / "killed"))
    reports = [(tmp_path / name / "report.json").read_bytes() for name in ("alone", "killed")]
    assert reports[0] == reports[1]
    assert len(list(results.iterdir())) == 12


def test_two_processes_give_the_report_of_one(tmp_path, store_dir, model_dir, encoder_dir):
    models = ("--base", model_dir, "--adapted", encoder_dir, "--adapted", model_dir)
    arguments = ("--data", store_dir, *models, *COMPARISON)
    finish(start("lyricbert/compare.py", *arguments, "--out", tmp_path / "one"))
    errors = finish(torchrun(2, "lyricbert/compare.py", *arguments, "--out", tmp_path / "two"))
    assert {line.split(":")[0] for line in errors.splitlines()} == {"rank 0", "rank 1"}
    assert (tmp_path / "one/report.json").read_bytes() == (tmp_path / "two/report.json").read_bytes()
    assert (tmp_path / "one/report.md").read_bytes() == (tmp_path / "two/report.md").read_bytes()


def test_more_processes_than_pieces_and_all_end_with_the_error_of_one(tmp_path, store_dir, model_dir, encoder_dir):
    arguments = ("--data", store_dir, "--base", model_dir, "--adapted", encoder_dir, *COMPARISON, "--seeds", 1)
    out = tmp_path / "out"
    finish(torchrun(6, "lyricbert/compare.py", *arguments, "--out", out))
    assert len(list((out / "results").iterdir())) == 4
    process = torchrun(3, "lyricbert/compare.py", *arguments, "--out", out, "--lr", 1)
    errors = process.communicate()[1]
    assert process.returncode != 0
    assert errors.count("error: ") == 1
    assert f"error: {out}: holds results with --lr 0.001, but the command has --lr 1.0" in errors
