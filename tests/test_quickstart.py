"""launch/quickstart.sh as a user starts it, but with a fake pip. .ci/run uses the real one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, make_songs
from forked import PATIENCE
from stand_ins import nvidia_smi, path_with

SETTINGS = {
    "SOURCE": "my lyrics",
    "MODEL": "my model",
    "OUT": "out",
    "NPROC": "2",
    "LINE": "over the [MASK] tonight",
    "EACH": "silver river",
    "PREPARE_FLAGS": "--val-fraction 0.2",
    "MLM_FLAGS": "--max-steps 6 --tokens-per-batch 256 --checkpoint-every 2",
    "COMPARE_FLAGS": "--seeds 1 --max-steps 2 --max-length 64",
}
# Its pip installs nothing, but notes the folder that it gets with -e, which is then importable from any directory.
PYTHON = """#!/bin/sh
editable=$(dirname "$0")/editable
if [ "$1 $2" != "-m pip" ]; then
    PYTHONPATH=$(cat "$editable" 2> /dev/null) exec "{python}" "$@"
fi
while [ $# -gt 0 ]; do
    if [ "$1" = -e ]; then echo "$2" > "$editable"; fi
    shift
done
"""


@pytest.fixture
def box(tmp_path, model_dir) -> Path:
    """A working directory, its path with a space, that holds lyrics, a model, and the repository in `a copy`."""
    box = tmp_path / "a box"
    repository = box / "a copy"
    for name in ("launch", "lyricbert"):
        shutil.copytree(ROOT / name, repository / name)
    for name in ("train_mlm.py", "requirements.txt"):
        shutil.copy(ROOT / name, repository)
    python = repository / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    (box / "my lyrics").mkdir()
    for number, song in enumerate(make_songs(20, seed=3)):
        (box / "my lyrics" / f"{number}.txt").write_text(song["lyrics"])
    shutil.copytree(model_dir, box / "my model")
    return box


def quickstart(box: Path, *arguments: str, **settings: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["bash", "a copy/launch/quickstart.sh", *arguments],
        cwd=box,
        env={**os.environ, **SETTINGS, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that it can be interrupted together with what it starts, as a terminal does
    )


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return said


def refuse(process: subprocess.Popen) -> str:
    """Wait for a quickstart, which must end with status 2."""
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, said
    return said


def interrupt(process: subprocess.Popen, midway: Callable[[], bool]) -> str:
    """Interrupt a quickstart as Ctrl-C does, once `midway` holds. Returns what it said."""
    while not midway():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert said.endswith("Finished stages are kept. Run the same command to resume.\n")
    return said


def test_it_ends_with_the_report_and_keeps_finished_stages(box):
    """Its comparison, at first one that would last, is interrupted and continues."""
    long = quickstart(box, COMPARE_FLAGS=SETTINGS["COMPARE_FLAGS"].replace("--seeds 1", "--seeds 1000"))
    interrupt(long, lambda: any((box / "out/report/results").glob("*")))
    finished = {path: path.stat().st_ino for path in (box / "out/report/results").iterdir()}
    said = finish(quickstart(box))
    assert {path: path.stat().st_ino for path in finished} == finished
    report = said[said.index("== The report") :]
    tables, compared = report.split("# Did adapting help?")
    assert "over the [MASK] tonight" in tables and "my model" in tables and "mlm/model" in tables
    assert "silver river" in tables
    assert "With fewer than 10 held-out songs, the verdict is `cannot tell`." in compared  # there are four
    assert "| triplet loss after triplet training" in compared and "| MLM loss" in compared
    assert json.loads((box / "out/report/report.json").read_text())["verdict"] in compared
    assert "tensorboard" in compared and "SOURCE=my_lyrics/" in compared

    before = {path: path.stat().st_mtime_ns for path in (box / "out").rglob("*") if path.name != "fill.txt"}
    again = finish(quickstart(box))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again[again.index("# Did") : again.index("Took")] == said[said.index("# Did") : said.index("Took")]

    said = refuse(quickstart(box, MLM_FLAGS="--max-steps 7"))
    assert f"{box}/out/mlm: made with other settings" in said
    said = refuse(quickstart(box, PREPARE_FLAGS="--val-fraction 0.3"))
    assert f"{box}/out/store: made with other settings" in said
    time.sleep(0.01)
    (box / "my lyrics/new.txt").write_text("a new song\n")
    assert "has changed since" in refuse(quickstart(box))
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("changed", "remove"),
    [
        ({"PREPARE_FLAGS": "--val-fraction 0.3"}, "store"),
        ({"MLM_FLAGS": "--max-steps 7"}, "mlm"),
        ({"COMPARE_FLAGS": "--seeds 2"}, "report/report.json"),  # the trainings beside it can be used again
    ],
)
def test_a_result_of_other_settings_is_named_and_nothing_says_to_run_the_same_command(box, changed, remove):
    """A fake interpreter runs nothing."""
    (box / "a copy/.venv/bin/python").write_text("#!/bin/sh\n")
    quickstart(box).communicate(timeout=PATIENCE)  # writes the settings, but no results
    for name in ("store/meta.json", "mlm/model/config.json", "report/report.json", "report/report.md"):
        (box / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (box / "out" / name).touch()
    finish(quickstart(box))
    settings = f"{remove.split('/')[0]}.settings"
    assert refuse(quickstart(box, **changed)).endswith(
        f"\n{box}/out/{remove}: made with other settings (listed in {settings}); remove it or give another OUT\n"
    )


@pytest.mark.parametrize(("installed", "processes"), [(0, 2), (1, 1), (5, 5)])
def test_the_default_is_one_process_per_gpu_or_two_without_gpus(box, installed, processes):
    """A fake interpreter prints the training command and then fails."""
    python = box / "a copy/.venv/bin/python"
    python.write_text('#!/bin/sh\n[ "$2" != torch.distributed.run ] || { echo "$@"; exit 1; }\n')
    driver = nvidia_smi(box, installed)
    visible = ",".join(map(str, range(installed)))
    process = quickstart(box, NPROC="", PATH=path_with(driver), CUDA_VISIBLE_DEVICES=visible)
    said, _ = process.communicate(timeout=PATIENCE)
    assert f"== 3/5 Adapt with {processes} processes\n-m torch.distributed.run --standalone" in said
    assert f" --nproc-per-node {processes} " in said


def test_an_interrupted_training_resumes(box):
    longer = {"MLM_FLAGS": "--max-steps 3000 --tokens-per-batch 256 --checkpoint-every 2 --keep-last 10000"}
    interrupt(quickstart(box, **longer), lambda: any((box / "out/mlm/checkpoints").glob("step-*")))
    assert not (box / "out/mlm/model").exists()

    process = quickstart(box, **longer)
    while "resuming from mlm/checkpoints/step-" not in (line := process.stdout.readline()):
        assert line and "token store" not in line  # no second preparation
    os.killpg(process.pid, signal.SIGINT)  # the processes of torchrun end only if torchrun tells them
    process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SOURCE": "nowhere"}, "SOURCE=nowhere: no such file or folder"),
        ({"NPROC": "two"}, "NPROC=two: must be a number"),
        ({"OUT": "my model/config.json/out"}, "cannot be created"),
        ({"MODEL": "my lyrics"}, "my lyrics: no tokenizer could be loaded"),
    ],
)
def test_mistakes(box, settings, message):
    assert message in refuse(quickstart(box, **settings))


def test_help(box):
    assert "SOURCE=my_lyrics/" in finish(quickstart(box, "--help"))
    assert "SOURCE=my_lyrics/" in refuse(quickstart(box, "my_lyrics/"))


def test_the_interpreter_is_checked_before_anything_is_installed(box):
    shutil.rmtree(box / "a copy/.venv")
    assert "nopython: no such program" in refuse(quickstart(box, PYTHON="nopython"))
    old = box / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert "old python: Python 3.11 or newer is needed" in refuse(quickstart(box, PYTHON=str(old)))
    assert not (box / "a copy/.venv").exists()
