from itertools import count

import pytest
from conftest import call, finish, torchrun

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
