"""The launchers, as a user starts them. `srun` and `scontrol` are stand-ins that run the command on this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from slurm_cluster import why_not

from lyricbert.training.metrics import read_metrics

stand_ins = pytest.mark.skipif(why_not() is None, reason="test_slurm.py does it on a real cluster")

SMALL = ("--tokens-per-batch", "256", "--log-every", "1")


@pytest.mark.parametrize("task", ["mlm", "triplet"])
def test_torchrun(task, tmp_path, store_dir, model_dir):
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": "my run", "NPROC": 2, "PYTHON": sys.executable}
    command = ["bash", ROOT / f"launch/torchrun_{task}.sh", "--max-steps", "3", *SMALL]
    if task == "triplet":
        command += ["--max-length", "64"]
    subprocess.run(command, cwd=tmp_path, env=environment(settings), check=True, timeout=120)
    assert (tmp_path / "my run/model/model.safetensors").is_file()


@pytest.fixture
def cluster(tmp_path) -> Path:
    """A folder of stand-ins for SLURM's commands; `scontrol` notes what it is asked."""
    (tmp_path / "bin").mkdir()
    scripts = {
        "srun": 'shift\nexec "$@"',  # the first argument is srun's own flag
        "scontrol": f'[ "$1" = show ] && echo 127.0.0.1 || echo "$@" >> "{tmp_path}/asked"',
    }
    for name, body in scripts.items():
        (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def submit(cluster: Path, script: str, settings: dict[str, object], *flags: str) -> subprocess.Popen:
    slurm = {"SLURM_JOB_ID": os.getpid(), "SLURM_NNODES": 1, "SLURM_JOB_NODELIST": "n1", "SLURM_SUBMIT_DIR": ROOT}
    variables = {**slurm, "PATH": f"{cluster / 'bin'}:{os.environ['PATH']}", "PYTHON": sys.executable, **settings}
    return subprocess.Popen(
        ["bash", ROOT / "launch" / script, *SMALL, *flags],
        env=environment(variables),
        cwd=cluster,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@stand_ins
@pytest.mark.parametrize("task", ["mlm", "triplet"])
def test_sbatch_to_the_end(task, cluster, store_dir, model_dir):
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": "run", "GPUS": 1}
    job = submit(cluster, f"{task}.sbatch", settings, "--max-steps", "3")
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert (cluster / "run/model").is_dir()
    assert not (cluster / "asked").exists()


@stand_ins
def test_sbatch_out_of_time_saves_and_requeues(cluster, store_dir, model_dir):
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": "run", "GPUS": 2}
    job = submit(cluster, "mlm.sbatch", settings, "--max-steps", "100000")
    while max((record["step"] for record in read_metrics(cluster / "run/metrics.jsonl")), default=0) < 5:
        assert job.poll() is None, job.communicate()[0]
    job.send_signal(signal.SIGUSR2)
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert "run the same command to go on" in said
    assert list((cluster / "run/checkpoints").iterdir())
    assert (cluster / "asked").read_text() == f"requeue {os.getpid()}\n"


def test_sbatch_passes_a_failure_on(cluster, store_dir):
    settings = {"DATA": store_dir, "MODEL": cluster / "nowhere", "OUT": "run", "GPUS": 1}
    job = submit(cluster, "mlm.sbatch", settings)
    said, _ = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "no such directory" in said
    assert not (cluster / "asked").exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"SOURCE": "nowhere"}, "SOURCE=nowhere: no such file or folder"),
        ({"OUT": "done"}, "/done/report: exists already and is not overwritten"),
        ({"OUT": "lyrics.txt/out"}, "OUT=lyrics.txt/out: cannot be made"),
    ],
)
def test_a_pipeline_that_cannot_start_submits_nothing(cluster, settings, complaint):
    """`sbatch` is a stand-in that notes what it is asked."""
    (cluster / "bin/sbatch").write_text(f'#!/usr/bin/env bash\necho "$@" >> "{cluster}/asked"\n')
    (cluster / "bin/sbatch").chmod(0o755)
    (cluster / "lyrics.txt").write_text("la la la\n")
    (cluster / "done/report").mkdir(parents=True)
    variables = {"PATH": f"{cluster / 'bin'}:{os.environ['PATH']}", "SOURCE": "lyrics.txt", **settings}
    command = ["bash", ROOT / "launch/pipeline.sh"]
    done = subprocess.run(command, cwd=cluster, env=environment(variables), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (cluster / "asked").exists()


def environment(settings: dict[str, object]) -> dict[str, str]:
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}
