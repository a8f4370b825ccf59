"""Quantiles of Student's t distribution."""

from functools import lru_cache

import numpy as np

_POINTS = 100_001
_STANDARD_DEVIATIONS = 12.0  # of the grid, to each side; for many degrees of freedom


@lru_cache
def t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t, with `degrees` (1 or more) degrees of freedom, is below with `probability`.

    With t = sqrt(degrees) * tan(angle), the density of the angle is proportional to cos(angle)^(degrees - 1). It is
    summed on a grid.
    """
    widest = min(np.pi / 2, _STANDARD_DEVIATIONS / np.sqrt(degrees))
    angle = np.linspace(-widest, widest, _POINTS)
    density = np.cos(angle).clip(0) ** (degrees - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(degrees) * np.tan(np.interp(probability, below / below[-1], angle)))
