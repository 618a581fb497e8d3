"""How many frames a clip's picture is behind its sound, from the clip itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motion.regression import context, correlation, folds_of, ridge_path, training_mask

Array = NDArray[np.float32]

LAGS = (0, 1, 2)
"""Frames tried; positive: the picture comes late. Lips that lead their sound by a frame are how people speak, not a
fault of the recording: one person's clip alone can't tell the two apart, so no lead is ever corrected."""
NEEDED = 0.85
"""A lag must bring what is unexplained (1 - r) down to this share of what it is at 0: 300 frames resolve no less."""


@dataclass(frozen=True)
class Lag:
    """How late a clip's picture is."""

    frames: int
    """Frames behind the sound, 0..2."""
    scores: dict[int, float]
    """Held-out correlation of every lag tried."""


def shift_features(features: Array, lag: int) -> Array:
    """Features for a picture that is ``lag`` frames late: frame t gets those of t - lag; the ends are repeated."""
    index = np.clip(np.arange(len(features)) - lag, 0, len(features) - 1)
    return features[index]


def estimate_lag(features: Array, opening: Array, valid: NDArray[np.bool_]) -> Lag:
    """The lag whose cross-validated ridge on a three-frame window predicts the mouth opening best.

    Args:
        features: (T, D) standardised.
        opening: (T,) mouth opening, any unit.
        valid: (T,) frames that count.

    Returns:
        the lag, 0 where none is clear.
    """
    scores: dict[int, float] = {}
    for lag in LAGS:
        window = context(shift_features(features, lag), 1)
        predicted = np.zeros(len(opening))
        for block in folds_of(valid, 5):
            train = training_mask(len(opening), block, guard=4) & valid
            ridge = ridge_path(window[train], opening[train, None], (3.0,))[0]
            predicted[block] = ridge(window[block])[:, 0] - opening[train].mean()
        scores[lag] = correlation(predicted[valid], opening[valid])
    best = max(scores, key=lambda lag: scores[lag])
    clear = scores[best] > 0.2 and 1 - scores[best] < NEEDED * (1 - scores[0])
    return Lag(best if clear else 0, scores)
