import errno
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, call, finish, no_file_beyond, start, wait_for

import train_mlm
from benchmarks.chaos import last_step
from lyricbert.errors import UserError
from lyricbert.runtime import lock
from lyricbert.runtime.lock import lock_run_directory

HOLD = "import sys, time; from pathlib import Path; from lyricbert.runtime.lock import lock_run_directory\n"
HOLD += "with lock_run_directory(Path(sys.argv[1])): print('held', flush=True); time.sleep(3600)"


def test_a_second_run_in_a_directory_is_refused_until_the_first_ends(tmp_path):
    run = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, run], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    waited = []
    with (
        pytest.raises(UserError, match=rf"in use by another run \(process {holder.pid} on "),
        lock_run_directory(run, waited.append),
    ):
        pass
    assert sum(waited) == pytest.approx(3)
    holder.kill()
    holder.wait()
    with lock_run_directory(run):
        pass


def test_a_directory_that_cannot_be_created_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), lock_run_directory(tmp_path / "file" / "run"):
        pass


def test_two_runs_with_the_same_out(tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    arguments = ["--data", store_dir, "--model", model_dir, "--out", run, "--log-every", 1, "--max-steps", 100_000]
    first = start("train_mlm.py", *arguments)
    wait_for(lambda: last_step(run) >= 3, first)
    with pytest.raises(UserError, match=rf"in use by another run \(process {first.pid} on "):
        call(train_mlm.main, *arguments)
    step = last_step(run)
    wait_for(lambda: last_step(run) > step, first)  # undisturbed
    first.send_signal(signal.SIGTERM)
    assert "Run the same command to resume." in finish(first)


def test_the_lock_of_another_node_is_waited_for_longer(tmp_path, capfd):
    """The file server releases the lock of a dead node after a minute and a half."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    (tmp_path / lock.LOCK).write_text("process 1 on another-node\n")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) > 90 and holder.returncode is None:
            holder.kill()
            holder.wait()

    with lock_run_directory(tmp_path, sleep):
        assert holder.returncode == -signal.SIGKILL
    assert "locked by process 1 on another-node; waiting for the lock" in capfd.readouterr().err


def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, capfd):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with lock_run_directory(tmp_path):
        assert "cannot be locked (Function not implemented); start only one run in it" in capfd.readouterr().err


def test_a_file_system_that_is_read_only_is_a_user_error(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "new"))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(UserError, match="cannot be written"), lock_run_directory(tmp_path / "new/deep/run"):
        pass


@pytest.mark.parametrize("has", [(), ("run",), ("run", "run/notes")])
def test_a_full_disk_is_a_user_error_and_leaves_no_new_directory(tmp_path, has):
    for name in has:
        (tmp_path / name).mkdir()
    with no_file_beyond(0):
        error = error_of_lock(tmp_path / "run/deep/out" if not has else tmp_path / "run")
    assert isinstance(error, UserError)
    assert "cannot be written (File too large); free some space" in str(error)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_dir()} == {*has}


def error_of_lock(directory) -> Exception | None:
    """What `lock_run_directory` raises. pytest itself cannot write a report while no file may grow."""
    try:
        with lock_run_directory(directory):
            return None
    except (UserError, OSError) as error:
        return error
