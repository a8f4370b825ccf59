"""A comparison as a SLURM job on two nodes that runs out of time, on a real cluster on this host."""

import shutil
import signal
from pathlib import Path

import pytest
from conftest import call
from slurm_cluster import why_not
from slurm_job import Job

from lyricbert import compare

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM here: {why_not()}")

FLAGS = ("--seeds", 3, "--max-songs", 20, "--max-length", 64, "--max-steps", 12)


def trainings(out: Path) -> dict[str, int]:
    """The inodes of the stored trainings."""
    return {path.name: path.stat().st_ino for path in out.glob("results/*-seed-*.safetensors")}


def test_a_job_that_runs_out_of_time_continues_and_gives_the_report_of_one_process(
    cluster, tmp_path, store_dir, model_dir, encoder_dir
):
    """SLURM's warning is sent by hand, because SLURM sends it up to a minute early."""
    out, settings = tmp_path / "report", {"DATA": store_dir, "BASE": model_dir, "ADAPTED": encoder_dir}
    job = Job(cluster, "compare.sbatch", out, settings, FLAGS)
    job.pause_when(lambda: len(trainings(out)) > 0)
    cluster.call("scancel", "--signal=USR2", "--batch", job.number)
    job.wait(lambda: "SLURM sent SIGUSR2, stopping" in job.said)
    job.signal_processes(signal.SIGCONT)
    job.wait(lambda: "not finished, requeued" in job.said)
    kept = trainings(out)
    assert 0 < len(kept) < 6
    job.wait(lambda: job.state == "COMPLETED")
    assert job.restarts == 1
    assert kept.items() < trainings(out).items()

    shutil.move(out, tmp_path / "requeued")
    call(compare.main, *("--data", store_dir, "--base", model_dir, "--adapted", encoder_dir, "--out", out), *FLAGS)
    assert (out / "report.json").read_bytes() == (tmp_path / "requeued/report.json").read_bytes()
