"""Comparing two curves over time, such as the lip opening of the real and of the generated frames.

Curves are (T,) floats with NaN where a frame has no face; only frames with both values count.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_LAG = 5
"""Largest shift tried by :func:`best_lag`, in frames (0.2 s at 25 fps)."""
_MIN_PAIRS = 5


def correlation(real: NDArray[Any], generated: NDArray[Any]) -> float:
    """Pearson's r at lag 0, range -1..1; 1 = moves exactly alike up to gain and offset.

    0 when either curve is constant: a mouth that never moves follows nothing. NaN under five common frames.
    """
    x, y = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < _MIN_PAIRS:
        return math.nan
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 1e-12 * both.sum() else 0.0


def best_lag(real: NDArray[Any], generated: NDArray[Any], max_lag: int = MAX_LAG) -> tuple[int, float]:
    """The shift within ``max_lag`` frames at which the correlation is highest, and that correlation.

    A positive lag means that the generated curve is late by so many frames. The smallest shift wins a tie.
    """
    best, at = math.nan, 0
    for lag in sorted(range(-max_lag, max_lag + 1), key=abs):
        shifted = generated[lag:] if lag >= 0 else generated[:lag]
        kept = real[: len(real) - lag] if lag >= 0 else real[-lag:]
        r = correlation(kept, shifted)
        if math.isfinite(r) and not r <= best:
            best, at = r, lag
    return at, best


def range_ratio(real: NDArray[Any], generated: NDArray[Any]) -> float:
    """Robust range (95th minus 5th percentile) of the generated curve over that of the real one.

    1 = as lively as the person, below 1 = mumbling, above 1 = exaggerated. NaN when the real curve does not
    move.
    """
    x, y = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if len(x) < _MIN_PAIRS or len(y) < _MIN_PAIRS:
        return math.nan
    spread = float(np.subtract(*np.percentile(x, [95, 5])))
    return float(np.subtract(*np.percentile(y, [95, 5]))) / spread if spread > 0 else math.nan
