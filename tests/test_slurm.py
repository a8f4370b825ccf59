"""SLURM jobs that are preempted, out of time or lose a node, on a real cluster of two nodes on this host."""

import re
import signal
from pathlib import Path

import pytest
from conftest import finish, torchrun
from slurm_cluster import submit, why_not
from slurm_job import Job

from benchmarks.chaos import differences, last_step

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM here: {why_not()}")

FLAGS = ("--max-steps", 300, "--tokens-per-batch", 128, "--log-every", 1, "--eval-every", 100, "--checkpoint-every", 40)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, store_dir, model_dir):
    """An uninterrupted run of two processes on this machine. Every job must give the same result."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(torchrun(2, "train_mlm.py", "--data", store_dir, "--model", model_dir, "--out", run, *FLAGS))
    return run


@pytest.fixture
def job(cluster, tmp_path, store_dir, model_dir):
    """Submits MLM training on both nodes, with these options of sbatch."""
    settings = {"DATA": store_dir, "MODEL": model_dir}
    return lambda *options: Job(cluster, "mlm.sbatch", tmp_path / "run", settings, FLAGS, options)


def pause_midway(job: Job) -> None:
    job.pause_when(lambda: last_step(job.out) >= 60)


def assert_finished(job: Job, undisturbed: Path, restarts: int, before_a_checkpoint: int = 0) -> None:
    """`before_a_checkpoint`: how many of the restarts may come before the run has one to resume from."""
    job.wait(lambda: job.state == "COMPLETED")
    assert differences(undisturbed, job.out) == []
    assert job.restarts == restarts
    assert re.findall(r"restart (\d+)", job.said) == [str(number) for number in range(restarts + 1)]
    assert restarts - before_a_checkpoint <= job.said.count("resuming from") <= restarts
    assert job.said.count("finished at step 300") == 1


def test_preempted_by_a_job_of_a_higher_partition(cluster, job, undisturbed):
    preempted = job()
    pause_midway(preempted)
    urgent = submit(cluster, {}, "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    preempted.wait(lambda: cluster.job(urgent)["JobState"] == "COMPLETED")
    assert_finished(preempted, undisturbed, restarts=1)


def test_time_limit(cluster, job, undisturbed):
    """SLURM checks time limits every 30 seconds, and sends the signal up to a minute early."""
    short = job("--time=1", "--signal=B:USR2@10")
    pause_midway(short)
    short.wait(lambda: "SLURM sent SIGUSR2, stopping" in short.said)
    short.signal_processes(signal.SIGCONT)
    short.wait(lambda: "not finished, requeued" in short.said)
    assert "Run the same command to resume." in short.said
    cluster.call("scontrol", "update", f"jobid={short.number}", "timelimit=60")  # enough for what is left
    short.wait(lambda: short.state == "COMPLETED")
    # On a busy machine the first minutes may all have passed before the first checkpoint.
    assert_finished(short, undisturbed, short.restarts, before_a_checkpoint=short.restarts - 1)
    assert short.restarts >= 1


def test_a_lost_node(cluster, job, undisturbed):
    lost = job()
    pause_midway(lost)
    cluster.call("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    lost.wait(lambda: lost.restarts == 1)
    cluster.call("scontrol", "update", "nodename=n2", "state=resume")
    assert_finished(lost, undisturbed, restarts=1)
