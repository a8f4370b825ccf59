"""The launchers as a user starts them. Fake `srun` and `scontrol` run the command on this machine."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, wait_for
from forked import PATIENCE
from slurm_cluster import why_not
from stand_ins import note_taking_python, nvidia_smi, path_with, write_programs

from lyricbert.training.metrics import read_metrics

without_slurm = pytest.mark.skipif(why_not() is None, reason="test_slurm.py does it on a real cluster")

SMALL = ("--tokens-per-batch", "256", "--log-every", "1")
# What torchrun starts for each launcher, and the file or directory in OUT that marks its end.
PROGRAMS = {"mlm": f"{ROOT}/train_mlm.py", "triplet": f"{ROOT}/train_triplet.py", "compare": "-m lyricbert.compare"}
RESULTS = {"mlm": "model", "triplet": "model", "compare": "report.json"}


@pytest.mark.parametrize("task", ["mlm", "triplet"])
def test_torchrun(task, tmp_path, store_dir, model_dir):
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": "my run", "NPROC": 2, "PYTHON": sys.executable}
    command = ["bash", ROOT / f"launch/torchrun_{task}.sh", "--max-steps", "3", *SMALL]
    if task == "triplet":
        command += ["--max-length", "64"]
    subprocess.run(command, cwd=tmp_path, env=environment(settings), check=True, timeout=PATIENCE)
    assert (tmp_path / "my run/model/model.safetensors").is_file()


@pytest.mark.parametrize(
    ("installed", "visible", "processes"),
    [
        (None, None, 2),
        (0, None, 2),
        (1, None, 1),
        (8, None, 8),
        (8, "0,5", 2),
        (8, "", 2),
        (8, "-1", 2),
        (8, "NoDevFiles", 2),
        (2, "1,7,0", 1),  # CUDA ignores the invalid entry and all that follow
        (2, "GPU-8932f937, GPU-46deb3c7", 2),
        (0, "GPU-8932f937", 2),
    ],
)
def test_one_process_per_gpu_or_two_without_gpus(installed, visible, processes, tmp_path):
    settings = {"PATH": path_with(nvidia_smi(tmp_path, installed)), "PYTHON": note_taking_python(tmp_path)}
    variables = environment(settings)
    variables.pop("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        variables["CUDA_VISIBLE_DEVICES"] = visible
    for task, program in PROGRAMS.items():
        command = ["bash", ROOT / f"launch/torchrun_{task}.sh"]
        said = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=True
        ).stdout
        assert f" --nproc-per-node {processes} {program} --data " in said


def test_gpus_that_nvidia_smi_lists_before_it_fails_count(tmp_path):
    driver = write_programs(tmp_path / "driver", {"nvidia-smi": "echo 'GPU 0: H100 (UUID: GPU-0)'; exit 14"})
    variables = environment({"PATH": path_with(driver), "PYTHON": note_taking_python(tmp_path)})
    variables.pop("CUDA_VISIBLE_DEVICES")
    command = ["bash", ROOT / "launch/torchrun_mlm.sh"]
    said = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    assert " --nproc-per-node 1 " in said


def test_training_starts_without_the_caches_that_split_the_heap(tmp_path):
    """glibc reads the setting when a process starts. A setting of the user has priority."""
    python = write_programs(tmp_path / "notes", {"python": 'echo "$GLIBC_TUNABLES"'}) / "python"
    command = ["bash", ROOT / "launch/torchrun_mlm.sh"]
    settings = [{}, {"GLIBC_TUNABLES": ""}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}]
    said = [
        subprocess.check_output(command, env=environment({"PYTHON": python, **setting}), text=True, timeout=PATIENCE)
        for setting in settings
    ]
    assert said == ["glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0\n", "\n", "glibc.malloc.arena_max=1\n"]


@pytest.mark.parametrize("processes", ["two", "0", "-1"])
def test_a_number_of_processes_that_is_none_is_refused(processes, tmp_path):
    variables = environment({"NPROC": processes, "PYTHON": note_taking_python(tmp_path)})
    command = ["bash", ROOT / "launch/torchrun_triplet.sh"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"NPROC={processes}: must be a number of processes, 1 or more\n"


@pytest.fixture
def cluster(tmp_path) -> Path:
    """A folder of fake SLURM commands. `scontrol` records its arguments."""
    scripts = {
        "srun": 'shift\nexec "$@"',  # the first argument is srun's own flag
        "scontrol": f"""case "$1 $2" in
            "show hostnames") echo 127.0.0.1 ;;
            "show job") echo "PreemptTime=${{PREEMPTED-None}}" ;;
            *) echo "$@" >> "{tmp_path}/asked" ;;
        esac""",
    }
    write_programs(tmp_path / "bin", scripts)
    return tmp_path


def submit(cluster: Path, script: str, settings: dict[str, object], *flags: str) -> subprocess.Popen:
    slurm = {"SLURM_JOB_ID": os.getpid(), "SLURM_NNODES": 1, "SLURM_JOB_NODELIST": "n1", "SLURM_SUBMIT_DIR": ROOT}
    slurm["SLURM_CPUS_PER_TASK"] = 2
    variables = {**slurm, "PATH": path_with(cluster / "bin"), "PYTHON": sys.executable, **settings}
    return subprocess.Popen(
        ["bash", ROOT / "launch" / script, *SMALL, *flags],
        env=environment(variables),
        cwd=cluster,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@without_slurm
@pytest.mark.parametrize("task", ["mlm", "triplet"])
def test_sbatch_to_the_end(task, cluster, store_dir, model_dir):
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": "run", "GPUS": 1}
    job = submit(cluster, f"{task}.sbatch", settings, "--max-steps", "3")
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == 0, said
    assert (cluster / "run/model").is_dir()
    assert not (cluster / "asked").exists()


@pytest.mark.parametrize(
    ("settings", "installed", "processes", "threads"),
    [
        ({"SLURM_CPUS_PER_TASK": 32, "SLURM_GPUS_ON_NODE": 8}, 0, 8, 4),
        ({"SLURM_CPUS_PER_TASK": 1, "SLURM_GPUS_ON_NODE": 4}, 0, 4, 1),
        ({"SLURM_CPUS_PER_TASK": 32, "SLURM_GPUS_ON_NODE": 4, "GPUS": 3}, 4, 3, 10),
        ({"SLURM_CPUS_PER_TASK": 32, "OMP_NUM_THREADS": 5}, 1, 1, 5),
        ({"SLURM_CPUS_PER_TASK": 32}, None, 2, 16),
    ],
)
def test_sbatch_shares_the_cpus_of_a_node_between_its_processes(settings, installed, processes, threads, cluster):
    """One process per GPU of the job, or two. `srun` does not inherit the number of CPUs, so it must be passed."""
    variables = {
        "PATH": path_with(cluster / "bin", nvidia_smi(cluster, installed)),
        "PYTHON": note_taking_python(cluster),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(installed or 0))),
    }
    said, _ = submit(cluster, "mlm.sbatch", {**variables, **settings}).communicate(timeout=PATIENCE)
    cpus = settings["SLURM_CPUS_PER_TASK"]
    assert f"\nthreads {threads}, srun cpus {cpus}: -m torch.distributed.run --nnodes 1" in said
    assert f" --nproc-per-node {processes} " in said


@without_slurm
def test_sbatch_at_its_time_limit_saves_and_requeues(cluster, store_dir, model_dir):
    settings = {"DATA": store_dir, "MODEL": model_dir, "OUT": "run", "GPUS": 2}
    job = submit(cluster, "mlm.sbatch", settings, "--max-steps", "100000")
    while max((record["step"] for record in read_metrics(cluster / "run/metrics.jsonl")), default=0) < 5:
        assert job.poll() is None, job.communicate()[0]
    job.send_signal(signal.SIGUSR2)
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == 0, said
    assert "Run the same command to resume." in said
    assert list((cluster / "run/checkpoints").iterdir())
    assert (cluster / "asked").read_text() == f"requeue {os.getpid()}\n"


def test_sbatch_passes_a_failure_on(cluster, store_dir):
    settings = {"DATA": store_dir, "MODEL": cluster / "nowhere", "OUT": "run", "GPUS": 1}
    job = submit(cluster, "mlm.sbatch", settings)
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode != 0
    assert "no such directory" in said
    assert not (cluster / "asked").exists()


@pytest.mark.parametrize(
    ("stopped", "result", "status", "ends", "requeued"),
    [
        (None, "none", 0, 0, False),
        (None, "none", 2, 2, False),  # so that jobs that depend on this one are cancelled
        ("warned", "none", 1, 0, True),  # torchrun fails after a signal, even if its processes do not
        ("warned", "new", 1, 0, False),
        ("warned", "old", 1, 0, True),
        ("warned", "old", 0, 0, False),  # it had nothing to do
        ("preempted", "none", 1, 0, True),
        ("preempted", "new", 1, 0, False),
        ("preempted", "old", 1, 0, True),
        ("preempted", "old", 0, 0, False),
    ],
)
@pytest.mark.parametrize("task", PROGRAMS)
def test_a_job_is_requeued_only_if_slurm_stopped_it_before_it_finished(
    task, stopped, result, status, ends, requeued, cluster
):
    """A fake interpreter ends with `status`, if warned after the warning. An old result is there before it starts."""
    if result == "old":
        (cluster / "run" / RESULTS[task]).mkdir(parents=True)
    steps = [
        '[ "$1" != -c ] || exit 0',  # the check for the package
        "trap 'warned=yes' USR2",
        f"mkdir -p run/{RESULTS[task] if result == 'new' else ''}",
        "touch started",
        'until [ -n "${warned-}" ]; do sleep 0.01; done' if stopped == "warned" else "",
        f"exit {status}",
    ]
    python = write_programs(cluster / "fake", {"python": "\n".join(steps)}) / "python"
    settings = {"PREEMPTED": "2026-01-01T00:00:00"} if stopped == "preempted" else {}
    job = submit(cluster, f"{task}.sbatch", {"PYTHON": python, "OUT": "run", "GPUS": 1, **settings})
    if stopped == "warned":
        wait_for(lambda: (cluster / "started").exists() and has_handler(job.pid, signal.SIGUSR2), job)
        job.send_signal(signal.SIGUSR2)
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == ends, said
    assert (cluster / "asked").exists() == requeued


def has_handler(pid: int, number: int) -> bool:
    """Whether a process catches a signal; see proc(5)."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[1]
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("command", ["prepare", "compare"])
def test_sbatch_without_the_package_says_how_to_install_it(command, cluster):
    python = write_programs(cluster / "bare", {"python": "echo no module >&2; exit 1"}) / "python"
    job = submit(cluster, f"{command}.sbatch", {"PYTHON": python})
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == 2
    assert said.startswith(f"{python} cannot import lyricbert; run: {python} -m pip install -e {ROOT}")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "settings", "complaint"),
    [
        ("pipeline", {"SOURCE": "nowhere"}, "SOURCE=nowhere: no such file or folder"),
        ("pipeline", {"OUT": "done"}, "/done/report/report.json: is finished; remove it to compare"),
        ("pipeline", {"OUT": "lyrics.txt/out"}, "OUT=lyrics.txt/out: cannot be created"),
        ("prepare", {"SOURCE": "nowhere"}, "SOURCE=nowhere: no such file or folder"),
        ("prepare", {"DATA": "done"}, "DATA=done: exists already and is not overwritten"),
    ],
)
def test_jobs_that_cannot_start_are_not_submitted(cluster, script, settings, complaint):
    """A fake `sbatch` records its arguments."""
    write_programs(cluster / "bin", {"sbatch": f'echo "$@" >> "{cluster}/asked"'})
    (cluster / "lyrics.txt").write_text("la la la\n")
    (cluster / "done/report").mkdir(parents=True)
    (cluster / "done/report/report.json").touch()
    variables = {"PATH": path_with(cluster / "bin"), "SOURCE": "lyrics.txt", **settings}
    command = ["bash", ROOT / f"launch/{script}.sh"]
    done = subprocess.run(
        command, cwd=cluster, env=environment(variables), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (cluster / "asked").exists()


def test_the_pipeline_submits_an_unfinished_comparison_again(cluster):
    write_programs(cluster / "bin", {"sbatch": f'echo "${{@: -1}}" >> "{cluster}/asked"; echo 7'})
    (cluster / "lyrics.txt").write_text("la la la\n")
    for made in ("store", "mlm/model", "triplet-base/model", "report/trainings"):
        (cluster / "out" / made).mkdir(parents=True)
    variables = {"PATH": path_with(cluster / "bin"), "SOURCE": "lyrics.txt", "OUT": "out"}
    command = ["bash", ROOT / "launch/pipeline.sh"]
    said = subprocess.check_output(command, cwd=cluster, env=environment(variables), text=True, timeout=PATIENCE)
    assert said.splitlines() == ["mlm 7", "triplet-base 7", "triplet-adapted 7", "compare 7"]
    assert (cluster / "asked").read_text().splitlines()[-1] == f"{ROOT}/launch/compare.sbatch"


def environment(settings: dict[str, object]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {**inherited, **{name: str(value) for name, value in settings.items()}}


def test_the_tests_and_what_they_start_see_no_gpu():
    """Otherwise a machine with one GPU refuses runs of two and four processes."""
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
