"""Where in a clip lips and voice part: lips that speak unheard, a voice without lips, and frames not to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from motion.features import ACTIVITY, VOICING
from motion.sound_ranges import Hole, find_holes

Array = NDArray[np.float32]
Range = tuple[int, int]
"""First and last frame at 25 fps."""

_AROUND = (
    25  # frames over which movement and voice are measured: a second, so that no syllable counts by itself
)
_SHORTEST = 50  # frames of the shortest range that is told, holes apart
_SPEAKS, _STILL = 0.6, 0.2  # of the movement that the lips show beside the voice
_LEAST = 0.004  # inter-ocular distances: landmarks tremble by less
_KNOWN = 25  # frames with a voice and a mouth, to say how much this person's lips move


@dataclass(frozen=True)
class SpokenRanges:
    """Where lips and voice part."""

    holes: tuple[Hole, ...]
    """Where there is no sound: at the start or the end, or while the lips speak."""
    unvoiced: tuple[Range, ...]
    """Two seconds and more in which the lips speak beside a sound without a voice."""
    unmoved: tuple[Range, ...]
    """Two seconds and more in which a voice is heard and the lips keep still."""

    def learnable(self, frames: int) -> NDArray[np.bool_]:
        """(frames,) False in the holes: what the lips do there would be learnt as what they do in silence."""
        mask = np.ones(frames, bool)
        for hole in self.holes:
            mask[hole.first : hole.last] = False
        return mask


def find_ranges(samples: Array, features: Array, lips: NDArray[np.floating]) -> SpokenRanges:
    """Compare what is heard with what moves, second by second.

    A pause that a noise gate has emptied is no hole: the lips rest in it.

    Args:
        samples: (N,) at 16 kHz, its lag undone; sample 640 k is at frame k.
        features: (T, D) of the same sound.
        lips: (T, 2) of :func:`faces.mouth.lip_shape`, NaN where no mouth was seen.
    """
    frames = len(lips)
    movement = _movement(lips[:, 0])
    active = features[:frames, ACTIVITY] > 0.5
    voice = uniform_filter1d((active & (features[:frames, VOICING] > 0.6)).astype(float), _AROUND)
    spoken = active & np.isfinite(movement)
    usual = float(np.median(movement[spoken])) if spoken.sum() >= _KNOWN else np.nan
    holes = [
        hole
        for hole in find_holes(samples, frames)
        if hole.place != "middle" or not _rests(movement[hole.first : hole.last], usual)
    ]
    if not usual > _LEAST:
        return SpokenRanges(tuple(holes), (), ())
    elsewhere = SpokenRanges(tuple(holes), (), ()).learnable(frames)
    moving, still = movement > _SPEAKS * usual, movement < _STILL * usual
    return SpokenRanges(
        tuple(holes),
        _runs(moving & (voice < 0.02) & elsewhere),
        _runs(still & (voice > 0.3) & elsewhere),
    )


def _movement(height: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T,) spread of the mouth's height over a second, NaN where less than a fifth of that was seen."""
    seen = np.isfinite(height)
    share = uniform_filter1d(seen.astype(float), _AROUND)
    filled = np.where(seen, height, 0.0)
    mean = uniform_filter1d(filled, _AROUND) / np.maximum(share, 1e-6)
    square = uniform_filter1d(filled**2, _AROUND) / np.maximum(share, 1e-6)
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.where(share > 0.2, spread, np.nan)


def _rests(movement: NDArray[np.float64], usual: float) -> bool:
    known = movement[np.isfinite(movement)]
    return len(known) > 0 and bool(np.median(known) < 0.5 * usual)


def _runs(holds: NDArray[np.bool_]) -> tuple[Range, ...]:
    edges = np.flatnonzero(np.diff(np.r_[False, holds, False].astype(np.int8)))
    return tuple(
        (first, last - 1)
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        if last - first >= _SHORTEST
    )
