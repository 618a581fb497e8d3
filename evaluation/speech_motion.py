"""Does a mouth do what the sound asks: closed at bilabials, quiet in silence.

Openings are (T,) inner-lip gaps in inter-ocular distances at 25 fps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOUCHING = 0.012
"""Opening up to which lips count as met: about a millimetre between the lips' inner borders."""


def bilabial_hits(
    opening: NDArray[Any], frames: Sequence[int], touching: float = TOUCHING
) -> tuple[int, int]:
    """How many bilabials close the lips.

    Args:
        opening: (T,) gap; values below zero are lips pressed together.
        frames: the middle frame of each bilabial.
        touching: gap up to which lips have met.

    Returns:
        bilabials at which the lips meet within one frame of the middle, and bilabials in all.
    """
    hits = sum(float(np.min(opening[max(0, k - 1) : k + 2])) <= touching for k in frames)
    return hits, len(frames)


def silence_motion_ratio(real: NDArray[Any], generated: NDArray[Any], silent: NDArray[np.bool_]) -> float:
    """How much the generated lips move in silence, in terms of the real ones.

    Mean size of the opening's change from frame to frame, over pairs of silent frames, generated over real. 1 = as
    quiet as the person; above = speech-like motion where nobody speaks. NaN under ten such pairs.
    """
    pairs = silent[1:] & silent[:-1]
    if pairs.sum() < 10:
        return math.nan
    moved = [float(np.abs(np.diff(np.asarray(o, np.float64)))[pairs].mean()) for o in (real, generated)]
    return moved[1] / moved[0] if moved[0] > 0 else math.nan


def speech_motion_in_silence(opening: NDArray[Any], silent: NDArray[np.bool_]) -> float:
    """Mean speed of the lips in silence over that in the rest, 0 and up; about 1 = silence looks like speech."""
    speed = np.abs(np.diff(np.asarray(opening, np.float64)))
    pairs, rest = silent[1:] & silent[:-1], ~silent[1:] & ~silent[:-1]
    if pairs.sum() < 10 or rest.sum() < 10 or speed[rest].mean() == 0:
        return math.nan
    return float(speed[pairs].mean() / speed[rest].mean())
