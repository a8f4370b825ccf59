"""Starts a benchmark's own processes with the settings of the launchers."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_launched(
    script: str, arguments: Iterable[str], processes: int, threads: int, variables: dict[str, str] | None = None
) -> int:
    """Run `script`, a path in the repository, under torchrun, as `launch/torchrun_mlm.sh` runs train_mlm.py.

    `threads`: of each process. `variables`: more environment variables. Returns the exit status.
    """
    command = ["bash", "-c", f'source "{ROOT}/launch/torchrun.sh"; start "$@"', "bash", str(ROOT / script), *arguments]
    settings = {"PYTHON": sys.executable, "NPROC": str(processes), "OMP_NUM_THREADS": str(threads)}
    return subprocess.run(command, env={**os.environ, **settings, **(variables or {})}).returncode
