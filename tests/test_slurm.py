"""SLURM jobs that are preempted, out of time or lose a node, on a real cluster of two nodes on this host."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, finish, torchrun
from forked import PATIENCE
from slurm_cluster import HERE, SlurmCluster, submit, why_not

from benchmarks.chaos import differences, last_step

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM here: {why_not()}")

FLAGS = ("--max-steps", 300, "--tokens-per-batch", 128, "--log-every", 1, "--eval-every", 100, "--checkpoint-every", 40)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, store_dir, model_dir):
    """An uninterrupted run of two processes on this machine. Every job must give the same result."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(torchrun(2, "train_mlm.py", "--data", store_dir, "--model", model_dir, "--out", run, *FLAGS))
    return run


class Job:
    """launch/mlm.sbatch on both nodes."""

    def __init__(self, cluster: SlurmCluster, folder: Path, store: Path, model: Path, *options: str):
        self._cluster, self.run, self._log = cluster, folder / "run", folder / "job.log"
        settings = {**HERE, "DATA": store, "MODEL": model, "OUT": self.run, "GPUS": 1, "REPO": ROOT}
        self.number = submit(
            cluster, settings, "--nodes=2", f"--output={self._log}", *options, ROOT / "launch/mlm.sbatch", *FLAGS
        )

    @property
    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def state(self) -> str:
        return self._cluster.job(self.number).get("JobState", "")

    @property
    def restarts(self) -> int:
        return int(self._cluster.job(self.number).get("Restarts", 0))

    def wait(self, condition: Callable[[], bool], every: float = 0.5) -> None:
        """Wait for the condition. Checks it every `every` seconds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"{self.state}, step {last_step(self.run)}:\n{self.said}"
            time.sleep(every)

    def pause_midway(self) -> None:
        """Stop its training processes where they are in the middle, so that it lasts; SLURM does not notice.

        Whatever SLURM does to end a job begins with a SIGCONT.
        """
        self.wait(lambda: last_step(self.run) >= 60, every=0.02)
        self.signal_processes(signal.SIGSTOP)

    def signal_processes(self, number: signal.Signals) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            if str(self.run).encode() in command and str(ROOT / "train_mlm.py").encode() == command[2]:
                os.kill(int(process.name), number)


@pytest.fixture
def job(cluster, tmp_path, store_dir, model_dir):
    return lambda *options: Job(cluster, tmp_path, store_dir, model_dir, *options)


def assert_finished(job: Job, undisturbed: Path, restarts: int, before_a_checkpoint: int = 0) -> None:
    """`before_a_checkpoint`: how many of the restarts may come before the run has one to resume from."""
    job.wait(lambda: job.state == "COMPLETED")
    assert differences(undisturbed, job.run) == []
    assert job.restarts == restarts
    assert re.findall(r"restart (\d+)", job.said) == [str(number) for number in range(restarts + 1)]
    assert restarts - before_a_checkpoint <= job.said.count("resuming from") <= restarts
    assert job.said.count("finished at step 300") == 1


def test_preempted_by_a_job_of_a_higher_partition(cluster, job, undisturbed):
    preempted = job()
    preempted.pause_midway()
    urgent = submit(cluster, {}, "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    preempted.wait(lambda: cluster.job(urgent)["JobState"] == "COMPLETED")
    assert_finished(preempted, undisturbed, restarts=1)


def test_time_limit(cluster, job, undisturbed):
    """SLURM checks time limits every 30 seconds, and sends the signal up to a minute early."""
    short = job("--time=1", "--signal=B:USR2@10")
    short.pause_midway()
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
    lost.pause_midway()
    cluster.call("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    lost.wait(lambda: lost.restarts == 1)
    cluster.call("scontrol", "update", "nodename=n2", "state=resume")
    assert_finished(lost, undisturbed, restarts=1)
