"""SIGINT and SIGTERM to a command that has nothing to save: one line, the status of the signal, nothing left."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, wait_for
from forked import PATIENCE

MODULES = {name: ("-m", f"lyricbert.{name}") for name in ("prepare", "fill", "compare")}
COMMANDS = {**MODULES, "train_mlm": (ROOT / "train_mlm.py",)}


@pytest.fixture
def arguments(command, tmp_path, songs_file, store_dir, model_dir) -> list[object]:
    """Those of a command that would last, with results in `tmp_path`/new/out."""
    out = ("--out", tmp_path / "new" / "out")
    if command == "prepare":
        (tmp_path / "many.jsonl").write_text(songs_file.read_text() * 500)
        return [tmp_path / "many.jsonl", "--tokenizer", model_dir, *out]
    if command == "fill":
        return ["the [MASK]", "--model", model_dir]
    if command == "compare":
        return ["--data", store_dir, "--base", model_dir, "--adapted", model_dir, "--seeds", 1000, *out]
    return ["--data", store_dir, "--model", model_dir, *out]


def is_at_work(command: str, pid: int, folder: Path) -> bool:
    """Whether it has a temporary directory. A command that makes none by then: whether it is importing torch."""
    if command in ("prepare", "compare"):
        return any(folder.glob("new/.out.tmp-*"))
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_command_with_one_line_and_leaves_nothing(command, number, arguments, tmp_path):
    before = set(tmp_path.rglob("*"))
    process = subprocess.Popen(
        [sys.executable, *map(str, (*COMMANDS[command], *arguments))],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell would have it ignored
    )
    wait_for(lambda: is_at_work(command, process.pid, tmp_path), process)
    process.send_signal(number)
    process.send_signal(number)
    errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + number
    progress = ("base: ", "adapted: ", "seed ")
    lines = [line for line in errors.splitlines() if not line.startswith(progress)]
    assert lines == [f"Stopped by {number.name}. Run the same command again."]
    assert set(tmp_path.rglob("*")) == before
