"""The end of a run at a signal."""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from lyricbert.training.loop import Hook, StepResult, Trainer


class StopHook(Hook):
    """Ends the run at a step boundary that all ranks agree on, after a signal to any of them or an error on one.

    The signal handler only sets a flag. A second SIGINT ends the process at once; torchrun passes a terminal's SIGINT
    on to its processes, so one that follows within a second counts as the same.
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
