"""SIGINT and SIGTERM to a command: one line, the status of the signal, and nothing left.

`prepare` leaves the shards that it has finished, and `compare` its trainings. They continue from them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT, children, finish, wait_for
from forked import PATIENCE

MODULES = {name: ("-m", f"lyricbert.{name}") for name in ("prepare", "fill", "compare")}
COMMANDS = {**MODULES, "train_mlm": (ROOT / "train_mlm.py",)}


@pytest.fixture
def arguments(command, tmp_path, songs_file, store_dir, model_dir) -> list[object]:
    """Those of a command that would last, with results in `tmp_path`/new/out."""
    out = ("--out", tmp_path / "new" / "out")
    if command == "prepare":
        return [many_songs(tmp_path, songs_file), "--tokenizer", model_dir, "--workers", 2, *out]
    if command == "fill":
        return ["the [MASK]", "--model", model_dir]
    if command == "compare":
        return ["--data", store_dir, "--base", model_dir, "--adapted", model_dir, "--seeds", 1000, *out]
    return ["--data", store_dir, "--model", model_dir, *out]


def many_songs(folder: Path, songs_file: Path) -> Path:
    """A file with enough songs for three shards."""
    (folder / "many.jsonl").write_text(songs_file.read_text() * 250)
    return folder / "many.jsonl"


def is_at_work(command: str, pid: int, folder: Path) -> bool:
    """Whether it has a temporary directory. A command that makes none by then: whether it is importing torch."""
    if command == "prepare":
        return any(folder.glob("new/.out.shards/tokenizer"))  # before there are shards
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def begin(*words: object) -> subprocess.Popen:
    """Start a command in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell would have it ignored
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_command_with_one_line_and_leaves_nothing(command, number, arguments, tmp_path):
    before = set(tmp_path.rglob("*"))
    process = begin(*COMMANDS[command], *arguments)
    wait_for(lambda: is_at_work(command, process.pid, tmp_path), process)
    process.send_signal(number)
    process.send_signal(number)
    errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + number
    assert errors.splitlines() == [f"Stopped by {number.name}. Run the same command again."]
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["compare"])
def test_an_interrupted_compare_keeps_finished_trainings_and_continues(command, number, arguments, tmp_path):
    results = tmp_path / "new/out/results"
    process = begin(*COMMANDS[command], *arguments)
    wait_for(lambda: list(results.glob("base-1-seed-*")), process)
    process.send_signal(number)
    process.send_signal(number)
    errors = process.communicate(timeout=PATIENCE)[1].splitlines()
    assert process.returncode == 128 + number
    stopped = f"Stopped by {number.name}. Finished trainings are kept. Run the same command to continue."
    assert [line for line in errors if " model 1, " not in line] == [stopped]
    kept = {path.name: path.stat().st_ino for path in results.iterdir()}
    assert not [name for name in kept if not name.endswith(".safetensors")]
    assert {path.name for path in results.parent.iterdir()} == {".lock", "comparison.json", "results"}
    finish(begin(*COMMANDS[command], *arguments, "--seeds", 2))
    assert kept.items() <= {path.name: path.stat().st_ino for path in results.iterdir()}.items()
    assert (results.parent / "report.json").exists()


@pytest.fixture
def prepare(tmp_path, songs_file, model_dir) -> list[object]:
    """A `prepare` of several shards with two workers."""
    songs = many_songs(tmp_path, songs_file)
    return [*MODULES["prepare"], songs, "--tokenizer", model_dir, "--workers", 2, "--out", tmp_path / "new" / "out"]


def shards(folder: Path) -> set[Path]:
    return set(folder.glob("new/.out.shards/shard-*"))


def end_at_the_first_shard(command: list[object], folder: Path, how) -> tuple[int, list[str]]:
    """Start a command, and call `how` with its process when a shard is finished. Returns its status and errors."""
    process = begin(*command)
    wait_for(lambda: shards(folder), process)
    how(process)
    errors = process.communicate(timeout=PATIENCE)[1]
    wait_for_the_end_of_group(process.pid)
    assert shards(folder)
    assert not (folder / "new/out").exists()
    return process.returncode, errors.splitlines()


def wait_for_the_end_of_group(leader: int) -> None:
    """Wait until no process of a command is left. The workers of a killed command end with it."""
    end = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(leader, 0)
            time.sleep(0.05)
        pytest.fail("a process of the command is left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_prepare_keeps_finished_shards_and_continues_from_them(number, prepare, tmp_path):
    """The signal reaches all processes of the command, as Ctrl-C and SLURM's signals do. SIGKILL reaches only one."""

    def send(process: subprocess.Popen) -> None:
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)

    status, errors = end_at_the_first_shard(prepare, tmp_path, send)
    if number == signal.SIGKILL:
        assert (status, errors) == (-number, [])
        finish_and_compare(prepare, tmp_path)
    else:
        assert (status, errors) == (128 + number, [f"Stopped by {number.name}. Run the same command to continue."])
        assert {path.name for path in (tmp_path / "new/.out.shards").iterdir() if path.is_dir()} == {
            path.name for path in shards(tmp_path)
        }


def finish_and_compare(prepare: list[object], folder: Path) -> None:
    """Run the command again. It must use the shards, and give what an uninterrupted command gives."""
    first, kept = min(shards(folder)), min(shards(folder)).stat().st_ino
    again = begin(*prepare)
    wait_for(lambda: len(shards(folder)) > 1, again)
    assert first.stat().st_ino == kept
    assert finish(again) == ""
    assert [path.name for path in (folder / "new").iterdir()] == ["out"]
    finish(begin(*prepare[:-1], folder / "undisturbed"))
    sums = [
        json.loads((store / "meta.json").read_text())["sha256"]
        for store in (folder / "new/out", folder / "undisturbed")
    ]
    assert sums[0] == sums[1]


def test_a_killed_worker_ends_prepare_with_one_line(prepare, tmp_path):
    """Linux kills one if memory runs out. Finished shards stay, so that the command can be run with fewer workers."""

    def kill_a_worker(process: subprocess.Popen) -> None:
        workers = [pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(workers[0], signal.SIGKILL)

    status, errors = end_at_the_first_shard(prepare, tmp_path, kill_a_worker)
    assert status == 2
    (line,) = errors
    assert line.startswith("error: a worker process was killed by SIGKILL, perhaps because memory ran out; ")
