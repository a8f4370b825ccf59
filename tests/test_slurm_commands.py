"""The SLURM commands of the README, as printed, and the CPUs of their jobs, on a real cluster of two nodes."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from conftest import ROOT
from forked import PATIENCE
from slurm_cluster import HERE, SlurmCluster, run, submit, why_not
from stand_ins import note_taking_python

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM here: {why_not()}")


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


@pytest.mark.parametrize(
    ("script", "options", "nodes", "threads", "cpus", "started"),
    [
        ("mlm", ["--nodes=2"], 2, 8, 32, "torch.distributed.run --nnodes 2 --nproc-per-node 4 "),
        ("mlm", ["--gpus-per-node=0"], 1, 16, 32, "torch.distributed.run --nnodes 1 --nproc-per-node 2 "),
        ("triplet", ["--cpus-per-task=9"], 1, 2, 9, "torch.distributed.run --nnodes 1 --nproc-per-node 4 "),
        ("prepare", [], 1, 8, "none", "lyricbert.prepare "),
        ("compare", ["--nodes=2"], 2, 8, 32, "torch.distributed.run --nnodes 2 --nproc-per-node 4 "),
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
        models = {"MODEL": model_dir, "BASE": model_dir}
        (job,) = run_as_printed(cluster, {**models, **processes}, repository, command)
        wait_for_the_end(cluster, job, repository)
    assert {path.parent.name for path in repository.glob("runs/*/model")} == {"mlm", "triplet"}
    assert (repository / "runs/report/report.json").is_file()
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
        "TASKS": 2,
        "JOIN_FLAGS": "--val-fraction 0.2",
        "MLM_FLAGS": "--max-steps 5",
        "TRIPLET_FLAGS": "--max-steps 5 --max-length 64",
        "COMPARE_FLAGS": "--seeds 1 --max-songs 10 --max-length 64 --epochs 1",
    }
    (command,) = (command for command in readme_commands() if "pipeline.sh" in command)
    names = ["scan", "prepare", "join", "mlm", "triplet-base", "triplet-adapted", "compare"]
    jobs = dict(zip(names, run_as_printed(cluster, settings, repository, command), strict=True))
    needs = {name: set(re.findall(r"afterok:(\d+)", cluster.job(job)["Dependency"])) for name, job in jobs.items()}
    assert needs["triplet-adapted"] == {jobs["mlm"]}
    assert needs["compare"] == {jobs["mlm"]}
    assert {cluster.job(job)["CPUs/Task"] for job in jobs.values()} == {"1"}
    results = repository / "runs/songs"
    wait_for_the_end(cluster, jobs["compare"], results)
    assert (results / "report/report.md").is_file()
    assert {path.name for path in results.glob("triplet-*/model")} == {"model"}
    assert len(list(results.glob("*.log"))) == 8  # two tasks of prepare


def test_prepare_as_a_job_array_gives_the_store_of_one_command(cluster, repository, songs_file, model_dir, store_dir):
    data = repository / "data/store"
    settings = {"SOURCE": songs_file, "MODEL": model_dir, "DATA": data, "TASKS": 3}
    meta = json.loads((store_dir / "meta.json").read_text())
    settings["JOIN_FLAGS"] = f"--val-fraction {meta['val_fraction']} --seed {meta['seed']}"
    said = run(cluster, {**HERE, **settings}, repository, "bash", "launch/prepare.sh", "--workers", 1)
    jobs = dict(line.split() for line in said.splitlines())
    assert list(jobs) == ["scan", "prepare", "join"]
    wait_for_the_end(cluster, jobs["join"], repository)
    made, expected = ({path.name: path.read_bytes() for path in store.glob("*.*")} for store in (data, store_dir))
    assert made == expected
    assert [path.name for path in data.parent.iterdir()] == ["store"]
    assert len(list(repository.glob("prepare-*.log"))) == 3
