"""Programs that the launchers call, as scripts in a folder that a test puts on the PATH."""

import os
from pathlib import Path


def nvidia_smi(folder: Path, installed: int | None) -> Path:
    """Make a folder with an `nvidia-smi` that lists so many GPUs, or, for None, that finds no driver. Returns it."""
    gpus = "".join(f"GPU {number}: NVIDIA H100 80GB HBM3 (UUID: GPU-{number})\n" for number in range(installed or 0))
    return write_programs(folder / "driver", {"nvidia-smi": "exit 9" if installed is None else f"printf '{gpus}'"})


def note_taking_python(folder: Path) -> Path:
    """Make an interpreter that runs nothing, but prints its CPUs and its arguments. Returns it."""
    body = 'echo "threads $OMP_NUM_THREADS, srun cpus ${SRUN_CPUS_PER_TASK-none}:" "$@"'
    return write_programs(folder / "notes", {"python": body}) / "python"


def write_programs(folder: Path, bodies: dict[str, str]) -> Path:
    """Write a bash script for each name into the folder. Returns the folder."""
    folder.mkdir(exist_ok=True)
    for name, body in bodies.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


def path_with(*folders: Path) -> str:
    return ":".join([*map(str, folders), os.environ["PATH"]])
