"""Filling what was never seen from what lies round it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def extrapolate(total: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sums (h, w, C) and weights (h, w) -> (h, w, C) values everywhere, from coarser levels where unknown."""
    levels = [(total, weight)]
    while max(levels[-1][1].shape) > 1:
        h, w = levels[-1][1].shape
        half = (max(w // 2, 1), max(h // 2, 1))
        levels.append(tuple(cv2.resize(x, half, interpolation=cv2.INTER_AREA) for x in levels[-1]))
    values = levels[-1][0] / np.maximum(levels[-1][1], 1e-6)[..., None]
    for total_level, weight_level in reversed(levels[:-1]):
        h, w = weight_level.shape
        up = cv2.resize(values, (w, h), interpolation=cv2.INTER_LINEAR)
        known = np.clip(weight_level, 0, 1)[..., None]
        values = up * (1 - known) + total_level / np.maximum(weight_level, 1e-6)[..., None] * known
    return values.astype(np.float32)
