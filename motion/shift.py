"""A sound moved to the lips it belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16000


def shifted(samples: NDArray[np.float32], forward_ms: int) -> NDArray[np.float32]:
    """(N,) at 16 kHz, ``forward_ms`` earlier, of the same length: silence fills the end; negative: later."""
    count = min(round(abs(forward_ms) * RATE / 1000), len(samples))
    if not count:
        return samples
    silence = np.zeros(count, samples.dtype)
    parts = (samples[count:], silence) if forward_ms > 0 else (silence, samples[:-count])
    return np.concatenate(parts)
