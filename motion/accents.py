"""Accents: when speech stands out, and when a head's movement turns.

People put the turning points of their head movement on the syllables that stand out (Hadar et al. 1983). Both sides are
found as events, so that a piece of a person's motion can be laid where its turns meet the accents of other speech.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

Array = NDArray[np.float32]
Frames = NDArray[np.int64]

PROMINENCE = 0.5
"""Rise of the loudness (of about unit spread, see :func:`motion.style.spoken_prosody`) that makes an accent: 5 dB."""
SIGMA = 1.5
"""Frames by which a turn may miss an accent before it counts little."""


def speech_accents(loudness: Array) -> Frames:
    """(T,) smoothed loudness of about unit spread -> frames of the syllables that stand out."""
    return np.asarray(find_peaks(loudness, prominence=PROMINENCE, distance=4)[0], np.int64)


def head_turns(rotation: Array) -> Frames:
    """(T, 3) axis-angle of small turns -> frames at which the movement turns: prominent minima of its speed."""
    if len(rotation) < 8:
        return np.zeros(0, np.int64)
    smooth = gaussian_filter1d(np.asarray(rotation, np.float64), 1.0, axis=0)
    speed = np.linalg.norm(np.gradient(smooth, axis=0), axis=1)
    return np.asarray(find_peaks(-speed, prominence=0.3 * float(np.median(speed)), distance=3)[0], np.int64)


def closeness(accents: Frames, frames: int) -> NDArray[np.float64]:
    """(frames,) in [0, 1]: 1 at an accent, falling off within :data:`SIGMA` frames."""
    if not len(accents):
        return np.zeros(frames)
    away = np.abs(np.arange(frames)[:, None] - accents).min(1)
    return np.asarray(np.exp(-0.5 * (away / SIGMA) ** 2))
