"""A comparison as a SLURM job that is preempted, on a real cluster of two nodes on this host."""

from pathlib import Path

import pytest
from conftest import call
from slurm_cluster import submit, why_not
from slurm_job import Job

from lyricbert import compare

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM here: {why_not()}")

FLAGS = ("--seeds", 3, "--max-songs", 20, "--max-length", 64, "--max-steps", 12)


def trainings(out: Path) -> dict[str, int]:
    """The inodes of the stored trainings."""
    return {path.name: path.stat().st_ino for path in out.glob("results/*-seed-*.safetensors")}


def test_a_preempted_job_continues_and_gives_the_report_of_one_process(
    cluster, tmp_path, store_dir, model_dir, encoder_dir
):
    """With a grace time, SLURM sends SIGTERM to the processes. They end with an error, and the job requeues itself."""
    cluster.call("scontrol", "update", "partitionname=main", "gracetime=300")
    out, settings = tmp_path / "report", {"DATA": store_dir, "BASE": model_dir, "ADAPTED": encoder_dir}
    job = Job(cluster, "compare.sbatch", out, settings, FLAGS)
    job.pause_when(lambda: len(trainings(out)) > 0)
    submit(cluster, {}, "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=true")
    job.wait(lambda: "not finished, requeued" in job.said)
    kept = trainings(out)
    assert 0 < len(kept) < 6

    models = ("--data", store_dir, "--base", model_dir, "--adapted", encoder_dir)
    call(compare.main, *models, "--out", tmp_path / "alone", *FLAGS)
    job.wait(lambda: job.state == "COMPLETED")
    assert job.restarts == 1
    assert kept.items() < trainings(out).items()
    assert (out / "report.json").read_bytes() == (tmp_path / "alone/report.json").read_bytes()
