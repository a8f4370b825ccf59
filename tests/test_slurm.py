"""The SLURM scripts as a user submits them, to a real cluster of two nodes on this host."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, finish, torchrun
from forked import PATIENCE
from slurm_cluster import SlurmCluster, why_not
from stand_ins import note_taking_python

from benchmarks.chaos import differences, last_step

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM here: {why_not()}")

# What a job needs to run on the tests' cluster: the interpreter, the address of the first node, whose name is made up,
# and one thread per process, since the two CPUs of this host play 64.
HERE = {"PYTHON": sys.executable, "MASTER": "127.0.0.1", "OMP_NUM_THREADS": 1}
FLAGS = ("--max-steps", 300, "--tokens-per-batch", 128, "--log-every", 1, "--eval-every", 100, "--checkpoint-every", 40)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


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


def submit(cluster: SlurmCluster, settings: dict[str, object], *words: object) -> str:
    """Submit a job from the cluster's folder. Returns its id."""
    return run(cluster, settings, cluster.folder, "sbatch", "--parsable", *words).strip()


def run(cluster: SlurmCluster, settings: dict[str, object], folder: Path, *command: object) -> str:
    """Run a command, which must succeed, in a folder. Returns its output."""
    environment = {**cluster.environment, **{name: str(value) for name, value in settings.items()}}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_commands() -> list[str]:
    """The commands of the README's section on SLURM, as printed."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## [^\n]*SLURM.*?(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)[0]
    blocks = "".join(re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def run_as_printed(cluster: SlurmCluster, settings: dict[str, object], repository: Path, command: str) -> list[str]:
    """Run a command of the README in `repository`, its absolute paths below that folder. Returns its jobs' ids."""
    moved = command.replace("=/", f"={repository}/")
    return re.findall(r" (\d+)$", run(cluster, {**HERE, **settings}, repository, "bash", "-c", moved), re.MULTILINE)


@pytest.fixture
def repository(tmp_path) -> Path:
    """A folder with the repository's programs, which jobs are submitted from and write their logs to."""
    for name in ("launch", "lyricbert", "train_mlm.py", "train_triplet.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def wait_for_the_end(cluster: SlurmCluster, job: str, folder: Path) -> None:
    """Wait until a job that writes its log into `folder` has completed. It must not fail."""
    end = time.monotonic() + PATIENCE
    while (state := cluster.job(job).get("JobState")) in ("PENDING", "RUNNING", "COMPLETING"):
        assert time.monotonic() < end, cluster.call("squeue")
        time.sleep(0.2)
    assert state == "COMPLETED", "".join(log.read_text() for log in folder.glob("*.log"))


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


@pytest.mark.parametrize(
    ("script", "options", "nodes", "threads", "cpus", "started"),
    [
        ("mlm", ["--nodes=2"], 2, 8, 32, "torch.distributed.run --nnodes 2 --nproc-per-node 4 "),
        ("mlm", ["--gpus-per-node=0"], 1, 16, 32, "torch.distributed.run --nnodes 1 --nproc-per-node 2 "),
        ("triplet", ["--cpus-per-task=9"], 1, 2, 9, "torch.distributed.run --nnodes 1 --nproc-per-node 4 "),
        ("prepare", [], 1, 8, "none", "lyricbert.prepare "),
        ("compare", [], 1, 8, "none", "lyricbert.compare "),
    ],
)
def test_the_cpus_of_a_job_reach_its_processes(script, options, nodes, threads, cpus, started, cluster, repository):
    """On every node. A fake interpreter records its arguments and environment."""
    python = note_taking_python(repository)
    settings = {"PYTHON": python, "REPO": ROOT, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": ""}
    job = submit(cluster, settings, f"--chdir={repository}", *options, ROOT / f"launch/{script}.sbatch")
    wait_for_the_end(cluster, job, repository)
    said = (repository / f"lyricbert-{script}-{job}.log").read_text()
    assert said.count(f"threads {threads}, srun cpus {cpus}: -m {started}") == nodes


def test_the_jobs_of_the_readme(cluster, repository, store_dir, model_dir):
    """As printed, with a tiny model. On two nodes 8 processes start; a job on one node gets 1 process, to save time."""
    shutil.copytree(store_dir, repository / "data/store")
    commands = [command for command in readme_commands() if "pipeline.sh" not in command]
    assert any(" --nodes 2 " in command for command in commands)
    for command in commands:
        processes = {} if " --nodes 2 " in command else {"GPUS": 1}
        (job,) = run_as_printed(cluster, {"MODEL": model_dir, **processes}, repository, command)
        wait_for_the_end(cluster, job, repository)
    assert {path.parent.name for path in repository.glob("runs/*/model")} == {"mlm", "triplet"}
    config = json.loads((repository / "runs/mlm/config.json").read_text())
    assert (config["world_size"], config["global_micro_batches"]) == (8, 8)


def test_the_pipeline_of_the_readme_from_lyrics_to_report(cluster, repository, songs_file, model_dir):
    """As printed, with one process, one CPU and few steps for each training."""
    (repository / "data/lyrics").mkdir(parents=True)
    shutil.copy(songs_file, repository / "data/lyrics")
    settings = {
        "MODEL": model_dir,
        "GPUS": 1,
        "SBATCH_GPUS_PER_NODE": 0,
        "CPUS": 1,
        "PREPARE_FLAGS": "--val-fraction 0.2",
        "MLM_FLAGS": "--max-steps 5",
        "TRIPLET_FLAGS": "--max-steps 5 --max-length 64",
        "COMPARE_FLAGS": "--seeds 1 --max-songs 10 --max-length 64 --epochs 1",
    }
    (command,) = (command for command in readme_commands() if "pipeline.sh" in command)
    names = ["prepare", "mlm", "triplet-base", "triplet-adapted", "compare"]
    jobs = dict(zip(names, run_as_printed(cluster, settings, repository, command), strict=True))
    needs = {name: set(re.findall(r"afterok:(\d+)", cluster.job(job)["Dependency"])) for name, job in jobs.items()}
    assert needs["triplet-adapted"] == {jobs["mlm"]}
    assert needs["compare"] == {jobs[name] for name in ("mlm", "triplet-base", "triplet-adapted")}
    assert {cluster.job(job)["CPUs/Task"] for job in jobs.values()} == {"1"}
    results = repository / "runs/songs"
    wait_for_the_end(cluster, jobs["compare"], results)
    assert (results / "report/report.md").is_file()
    assert {path.name for path in results.glob("triplet-*/model")} == {"model"}
    assert len(list(results.glob("*.log"))) == 5
