"""Learning rate as a pure function of how far the run is."""

import math


def learning_rate_factor(progress: float, warmup: float, decay: str) -> float:
    """The learning rate as a share of its peak: a linear rise, then a linear or half-cosine fall to 0.

    `progress`: share of the run that is over, 0 to 1. `warmup`: share of the run in which the rate rises.
    """
    if progress < warmup:
        return progress / warmup
    remaining = max(0.0, 1 - progress) / (1 - warmup)
    return remaining if decay == "linear" else 0.5 * (1 - math.cos(math.pi * remaining))
