from itertools import count

import pytest
from conftest import call, finish, torchrun

from benchmarks import chaos

SETTINGS = ("--tokens-per-batch", "128", "--checkpoint-every", "7", "--keep-last", "2", "--eval-every", "40")


def test_a_run_killed_ten_times_is_bit_for_bit_the_one_left_alone(tmp_path, store_dir, model_dir, monkeypatch, capsys):
    """The first kill and the sixth, which is one in a checkpoint, are of torchrun as a user starts it."""
    starts, as_a_user = count(), chaos.torchrun
    monkeypatch.setattr(chaos, "torchrun", lambda *words: (as_a_user if next(starts) in (1, 6) else torchrun)(*words))
    settings = ["--data", store_dir, "--model", model_dir, "--work", tmp_path, "--kills", 10]
    with pytest.raises(SystemExit) as ended:
        call(chaos.main, *settings, "--", "--max-steps", 400, *SETTINGS)
    said = capsys.readouterr().out
    assert ended.value.code == 0, said
    assert "10 kills" in said
    assert "bit-identical" in said
    assert next(starts) == 12


def test_torchrun_starts_a_killed_rank_again_and_the_run_goes_on(tmp_path, store_dir, model_dir):
    """`--max-restarts`: one rank is killed, torchrun starts the group again, which goes on from the last checkpoint."""
    common = ["--data", store_dir, "--model", model_dir, "--log-every", 1, "--max-steps", 60, *SETTINGS]
    finish(torchrun(2, "train_mlm.py", *common, "--out", tmp_path / "alone"))
    faults = ("die", 1, 20, 20)
    errors = finish(torchrun(2, "tests/faulty.py", *faults, *common, "--out", tmp_path / "killed", restarts=3))
    assert errors.count("resuming from") == 1
    assert chaos.differences(tmp_path / "alone", tmp_path / "killed") == []
