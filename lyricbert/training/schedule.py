"""Learning rate as a pure function of how far the run is."""

import math


def learning_rate_factor(progress: float, warmup: float, decay: str) -> float:
    """The learning rate as a share of its peak: a linear rise, then a linear or half-cosine fall to 0, or the peak.

    `progress`: share of the run that is over, 0 to 1. `warmup`: share of the run in which the rate rises.
    """
    if progress < warmup:
        return progress / warmup
    if decay == "constant":
        return 1.0
    remaining = max(0.0, 1 - progress) / (1 - warmup)
    return remaining if decay == "linear" else 0.5 * (1 - math.cos(math.pi * remaining))


def learning_rate_factor_by_step(step: float, steps: int, warmup_steps: int, decay: str) -> float:
    """The same with a warm-up of `warmup_steps` in a run of `steps`. `step`: steps done.

    With the decay "constant" it does not depend on `steps`, to the last bit.
    """
    if step < warmup_steps:
        return step / warmup_steps
    return learning_rate_factor(step / steps, warmup_steps / steps, decay)
