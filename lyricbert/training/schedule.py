"""The learning rate as a function of the progress of the run."""

import math


def learning_rate_factor(progress: float, warmup: float, decay: str) -> float:
    """The learning rate divided by its peak: a linear warm-up, then the `decay` "linear", "cosine" or "constant".

    `progress`: share of the run that is done, 0 to 1. `warmup`: share of the run in which the rate rises.
    """
    if progress < warmup:
        return progress / warmup
    if decay == "constant":
        return 1.0
    remaining = max(0.0, 1 - progress) / (1 - warmup)
    return remaining if decay == "linear" else 0.5 * (1 - math.cos(math.pi * remaining))


def learning_rate_factor_by_step(step: float, steps: int, warmup_steps: int, decay: str) -> float:
    """Like `learning_rate_factor`, at `step` of `steps`, with a warm-up of `warmup_steps` steps.

    With the decay "constant", the result does not depend on `steps`, bit for bit.
    """
    if step < warmup_steps:
        return step / warmup_steps
    return learning_rate_factor(step / steps, warmup_steps / steps, decay)
