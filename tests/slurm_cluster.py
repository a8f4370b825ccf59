"""A real SLURM cluster of two nodes on this host: munged, slurmctld and two slurmd, all of them in one folder."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from forked import PATIENCE, ROOT

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_MUNGE_KEEPS = ("pid-file", "log-file", "seed-file")
_TEMPLATE = Path(__file__).with_name("slurm.conf")
# What a job needs to run on the tests' cluster: the interpreter, the package of this repository, the address of the
# first node, whose name is made up, and one thread per process, since the two CPUs of this host play 64.
HERE = {"PYTHON": sys.executable, "PYTHONPATH": ROOT, "MASTER": "127.0.0.1", "OMP_NUM_THREADS": 1}


def why_not() -> str | None:
    """Why there can be no cluster here, if so."""
    missing = [program for program in _PROGRAMS if shutil.which(program, path=_path()) is None]
    if missing:
        return f"no {', '.join(missing)}: install slurm-wlm and munge"
    return "slurmctld and slurmd want to be root" if os.geteuid() else None


class SlurmCluster:
    """The cluster's daemons, from `start` to `stop`.

    `environment` leads SLURM's commands to the cluster. `folder` holds its files.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._daemons: list[subprocess.Popen] = []
        self.environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        self._write_configuration()
        munge = [f"--{name}={self.folder}/munge.{name}" for name in ("socket", "key-file", *_MUNGE_KEEPS)]
        self._daemon("munged", "--foreground", "--force", *munge)
        _until(lambda: (self.folder / "munge.socket").exists(), "munged's socket")
        self._daemon("slurmctld", "-D")
        for node in ("n1", "n2"):
            self._daemon("slurmd", "-D", "-N", node)
        _until(lambda: self.call("sinfo", "-h", "-N", "-p", "main", "-o", "%t").split() == ["idle"] * 2, "idle nodes")

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons."""
        self.call("scancel", "--full", "--signal=KILL", "--user=root")
        self.call("scancel", "--user=root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            daemon.wait(timeout=PATIENCE)

    def call(self, *command: object) -> str:
        """The standard output of one of SLURM's commands; empty if it fails."""
        words = [str(word) for word in command]
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=PATIENCE).stdout

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says: JobState, Restarts, StartTime and the like."""
        return dict(word.partition("=")[::2] for word in self.call("scontrol", "show", "job", number).split())

    def _write_configuration(self) -> None:
        (self.folder / "state").mkdir()
        (self.folder / "munge.key-file").write_bytes(os.urandom(1024))
        (self.folder / "munge.key-file").chmod(0o600)
        text = _TEMPLATE.read_text().replace("@HOST@", socket.gethostname().split(".")[0])
        process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        text = text.replace("@FIRST@", str(1 + 1000 * process))
        for number, port in enumerate(_free_ports(3)):
            text = text.replace(f"@PORT{number}@", str(port))
        for number in range(4):
            (self.folder / f"gpu{number}").touch()
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={self.folder}/gpu[0-3]\n")
        (self.folder / "slurm.conf").write_text(text.replace("@FOLDER@", str(self.folder)))

    def _daemon(self, *command: str) -> None:
        with (self.folder / "log").open("a") as log:
            self._daemons.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))


def _path() -> str:
    """Debian puts the daemons where a user's PATH does not lead."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _until(condition, what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {seconds:.0f} s")
        time.sleep(0.2)


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
