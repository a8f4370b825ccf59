"""Kill a run repeatedly, resume it each time, and compare it bit for bit with an uninterrupted run.

    python benchmarks/chaos.py --data DATA --model MODEL --work FOLDER --kills 50 -- --max-steps 1000

SIGKILL ends torchrun at a random step or while a checkpoint is being written. Then the same command starts it again.
The arguments after `--` are flags of train_mlm.py. The exit status is 1 if weights, optimizer or curves differ.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from lyricbert.training.checkpoint import checkpoints, leftovers
from lyricbert.training.metrics import read_metrics

PATIENCE = 600.0  # seconds without a step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="token store")
    parser.add_argument("--model", required=True, help="BERT to start from: a directory or a hub name")
    parser.add_argument("--work", type=Path, required=True, help="output directory of the two runs")
    parser.add_argument("--kills", type=int, default=50, help="number of kills")
    parser.add_argument("--processes", type=int, default=2, help="number of processes")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the times of the kills")
    parser.add_argument("flags", nargs="*", help="flags of train_mlm.py")
    arguments = parser.parse_args()
    alone, killed = arguments.work / "alone", arguments.work / "killed"
    wait(start(arguments, alone))
    source, in_checkpoints = random.Random(arguments.seed), 0
    for number in range(arguments.kills):
        process = start(arguments, killed)
        in_checkpoint = number % 2 == 1
        step = kill(process, killed, source.randint(1, 20), in_checkpoint)
        half_made = leftovers(killed / "checkpoints")
        in_checkpoints += bool(half_made)
        print(f"kill {number + 1}: after step {step}{', during a checkpoint' if half_made else ''}", flush=True)
    wait(start(arguments, killed))
    problems = differences(alone, killed)
    print(f"{arguments.kills} kills, {in_checkpoints} of them during a checkpoint: {problems or 'bit-identical'}")
    sys.exit(1 if problems else 0)


def start(arguments: argparse.Namespace, out: Path) -> subprocess.Popen:
    paths = ("--data", arguments.data, "--model", arguments.model, "--out", out)
    return torchrun(arguments.processes, "train_mlm.py", *paths, "--log-every", 1, *arguments.flags)


def torchrun(processes: int, script: str, *arguments: object) -> subprocess.Popen:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    command = [str(word) for word in (*launch, ROOT / script, *arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)


def wait(process: subprocess.Popen) -> None:
    errors = process.communicate()[1]
    if process.returncode != 0:
        sys.exit(f"the run ended with status {process.returncode}:\n{errors}")


def kill(process: subprocess.Popen, out: Path, steps: int, in_checkpoint: bool) -> int:
    """Kill the run after `steps` more steps, with `in_checkpoint` during the next checkpoint. Returns its last step."""
    before, step, end = None, 0, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(0.002)
        if process.poll() is not None:
            sys.exit(f"the run ended before it could be killed; raise --max-steps:\n{process.communicate()[1]}")
        step = last_step(out)
        before = step if before is None and going(out, process) else before
        is_time = before is not None and step >= before + steps
        if is_time and (not in_checkpoint or leftovers(out / "checkpoints")):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return step


def going(out: Path, process: subprocess.Popen) -> bool:
    """True if the lock file names a child of `process`, so that the run has started."""
    try:
        owner = int((out / ".lock").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return False
    try:
        parent = Path(f"/proc/{owner}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return False
    return int(parent) == process.pid


def last_step(out: Path) -> int:
    """The step of the last complete line of metrics.jsonl. Reads only the end of the file, because it is polled."""
    try:
        with (out / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return 0
    return json.loads(lines[-1])["step"] if lines else 0


def differences(alone: Path, killed: Path) -> list[str]:
    """The names of the outputs that differ between the two runs."""
    found = []
    if not same(*(load_file(run / "model" / "model.safetensors") for run in (alone, killed))):
        found.append("weights")
    last = [checkpoints(run / "checkpoints")[0] for run in (alone, killed)]
    states = [torch.load(path / "optimizer.pt", weights_only=True)["optimizer"]["state"] for path in last]
    if last[0].name != last[1].name or not all(same(states[0][n], states[1][n]) for n in states[0]):
        found.append("optimizer")
    curves = [
        [(record["step"], record.get("train/loss"), record.get("eval/loss")) for record in records]
        for records in (read_metrics(run / "metrics.jsonl") for run in (alone, killed))
    ]
    if json.dumps(curves[0]) != json.dumps(curves[1]):
        found.append("metrics.jsonl")
    boards = [EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}) for run in (alone, killed)]
    points = [[(event.step, event.value) for event in board.Reload().Scalars("train/loss")] for board in boards]
    if points[0] != points[1]:
        found.append("TensorBoard")
    return found


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    """True if both have the same names and bit-identical tensors."""
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


if __name__ == "__main__":
    main()
