"""train_mlm.py with a fault: python faulty.py FAULT RANK FIRST LAST ARGUMENT...

nan: the loss of RANK is NaN in the steps FIRST to LAST (from 1; the trial batch is not a step).
hang: RANK hangs in step FIRST.
die: RANK is killed in step FIRST, but not after a restart by torchrun.
slow: RANK takes an hour for step FIRST.
signal: RANK gets SIGTERM during the evaluation after step FIRST.
"""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import train_mlm
from lyricbert.errors import run_command
from lyricbert.training.hooks.evaluate import EvalHook
from lyricbert.training.step import TrainStep

fault, rank, first, last = sys.argv[1], *map(int, sys.argv[2:5])
sys.argv[1:] = sys.argv[5:]
whole, whole_evaluation = TrainStep.accumulate, EvalHook._evaluate


def accumulate(self, step, micro_batches):
    if self.world.rank != rank or not first <= step + 1 <= last:
        return whole(self, step, micro_batches)
    if fault == "die":
        if os.environ["TORCHELASTIC_RESTART_COUNT"] != "0":
            return whole(self, step, micro_batches)
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        os.kill(os.getpid(), signal.SIGSTOP)
    if fault == "slow":
        time.sleep(3600)
    if fault != "nan":
        return whole(self, step, micro_batches)
    bert = self.module.bert.cls.predictions.transform.dense.bias
    before = bert.detach().clone()
    bert.data.fill_(float("nan"))
    try:
        return whole(self, step, micro_batches)
    finally:
        bert.data.copy_(before)


def evaluate(self, trainer):
    if fault == "signal" and trainer.world.rank == rank and trainer.progress.step == first:
        os.kill(os.getpid(), signal.SIGTERM)
    whole_evaluation(self, trainer)


TrainStep.accumulate, EvalHook._evaluate = accumulate, evaluate
run_command(train_mlm.main)
