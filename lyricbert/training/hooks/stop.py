"""Stops a run after a signal."""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from lyricbert.training.loop import Hook, StepResult, Trainer


class StopHook(Hook):
    """Stops all ranks after the same step if any rank has received a signal or has an error.

    The signal handler only sets a flag. A second SIGINT ends the process at once. Ctrl-C in a terminal sends SIGINT to
    the processes twice: directly and through torchrun. So SIGINTs within a second count as one.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._received: signal.Signals | None = None
        self._received_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def start(self, trainer: Trainer) -> None:
        self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = self._clock()
        if number == signal.SIGINT == self._received and now - self._received_at > 1:
            os._exit(130)
        self._received, self._received_at = signal.Signals(number), now

    def step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.world.any(self._received is not None or trainer.error is not None):
            trainer.stop_signal = self._received.name if self._received else "a signal to another process"

    def finish(self, trainer: Trainer) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
