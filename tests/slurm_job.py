"""A job of a script of launch/ on both nodes of the tests' SLURM cluster."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from forked import PATIENCE, ROOT
from slurm_cluster import HERE, SlurmCluster, submit


class Job:
    """A submitted script with one process on each node.

    `out`: its OUT. `settings`: its other variables. `flags`: of the command. `options`: of sbatch.
    """

    def __init__(
        self,
        cluster: SlurmCluster,
        script: str,
        out: Path,
        settings: dict[str, object],
        flags: Sequence[object],
        options: Sequence[str] = (),
    ):
        self._cluster, self.out, self._log = cluster, out, out.with_name("job.log")
        settings = {**HERE, **settings, "OUT": out, "GPUS": 1, "REPO": ROOT}
        self.number = submit(
            cluster, settings, "--nodes=2", f"--output={self._log}", *options, ROOT / "launch" / script, *flags
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
        """Wait for the condition. Checks it every `every` seconds. The job must not fail before."""
        end, looked = time.monotonic() + PATIENCE, 0.0
        while not condition():
            if time.monotonic() > looked + 0.5:
                looked = time.monotonic()
                assert looked < end and self.state != "FAILED", f"{self.state}:\n{self.said}"
            time.sleep(every)

    def pause_when(self, condition: Callable[[], bool]) -> None:
        """Stop its processes where they are once the condition holds, so that it lasts; SLURM does not notice.

        Whatever SLURM does to end a job begins with a SIGCONT.
        """
        self.wait(condition, every=0.02)
        self.signal_processes(signal.SIGSTOP)

    def signal_processes(self, number: signal.Signals) -> None:
        """Send a signal to the processes that torchrun has started, with `python -u`."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            if command[1:2] == [b"-u"] and str(self.out).encode() in command:
                os.kill(int(process.name), number)
