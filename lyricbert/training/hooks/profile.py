"""Writes a profiler trace of a few steps."""

from pathlib import Path

from torch.profiler import profile, schedule, tensorboard_trace_handler

from lyricbert.training.config import PROFILED_STEPS
from lyricbert.training.loop import Hook, StepResult, Trainer


class ProfileHook(Hook):
    """Writes a `torch.profiler` trace of the `PROFILED_STEPS` steps after the first three."""

    def __init__(self, directory: Path):
        self._profiler = profile(
            schedule=schedule(wait=2, warmup=1, active=PROFILED_STEPS, repeat=1),
            on_trace_ready=tensorboard_trace_handler(str(directory)),
        )

    def start(self, trainer: Trainer) -> None:
        self._profiler.start()

    def step(self, trainer: Trainer, result: StepResult) -> None:
        self._profiler.step()

    def finish(self, trainer: Trainer) -> None:
        self._profiler.stop()
