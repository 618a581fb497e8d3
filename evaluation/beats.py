"""Does a head move with the accents of its speech?

Motion beats are where the head's movement turns: local minima of the angular speed (as for dance in Li et al. 2021,
"AI Choreographer", whose alignment score this is). Sound beats are syllables that stand out in loudness. A head that
moves at random meets some beats by chance, so the score is compared with the same head and the same sound shifted
against each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

Floats = NDArray[np.float64]

FPS = 25.0
SIGMA = 2.0
"""Frames by which a beat may be missed before it counts little (the score's standard deviation)."""


@dataclass(frozen=True)
class BeatGain:
    """Alignment against chance."""

    score: float
    """Mean closeness of the motion's beats to the sound's, 0..1."""
    chance: float
    """The same, mean over shifts of the sound."""
    z: float
    """(score - chance) over the standard deviation among the shifts."""


def loudness(samples: NDArray[Any], frames: int) -> Floats:
    """(N,) at 16 kHz -> (frames,) smoothed level in dB above 45 dB below the loud parts, at 25 fps."""
    padded = np.pad(np.asarray(samples, np.float64), (0, max(0, frames * 640 - len(samples))))[: frames * 640]
    level = 10 * np.log10(padded.reshape(frames, 640).var(1) + 1e-10)
    return gaussian_filter1d(np.maximum(level - (np.percentile(level, 95) - 45), 0), 1.0)


def sound_beats(samples: NDArray[Any], frames: int) -> NDArray[np.int64]:
    """Frames of syllables that stand out: peaks of the level of at least 6 dB prominence."""
    return np.asarray(find_peaks(loudness(samples, frames), prominence=6.0, distance=4)[0], np.int64)


def motion_beats(angles: NDArray[Any]) -> NDArray[np.int64]:
    """(T, 3) degrees -> frames at which the head's movement turns: prominent minima of the smoothed speed."""
    speed = head_speed(angles)
    typical = max(float(np.median(speed)), 1e-6)
    return np.asarray(find_peaks(-speed, prominence=0.3 * typical, distance=3)[0], np.int64)


def head_speed(angles: NDArray[Any]) -> Floats:
    """(T, 3) degrees -> (T,) degrees a second, smoothed over about 0.1 s."""
    smooth = gaussian_filter1d(np.asarray(angles, np.float64), 1.0, axis=0)
    return np.asarray(np.linalg.norm(np.gradient(smooth, axis=0), axis=1) * FPS)


def beat_alignment(motion: NDArray[np.int64], sound: NDArray[np.int64], sigma: float = SIGMA) -> float:
    """Mean over the motion's beats of exp(-d^2 / 2 sigma^2), d frames to the nearest beat of the sound; NaN if none."""
    if not len(motion) or not len(sound):
        return math.nan
    distance = np.abs(motion[:, None] - sound).min(1)
    return float(np.exp(-(distance**2) / (2 * sigma**2)).mean())


def beat_gain(angles: NDArray[Any], samples: NDArray[Any]) -> BeatGain:
    """Alignment of a head with its sound, against the sound shifted by all whole numbers of frames above one second."""
    frames = len(angles)
    motion, sound = motion_beats(angles), sound_beats(samples, frames)
    score = beat_alignment(motion, sound)
    shifted = [
        beat_alignment(motion, np.sort((sound + shift) % frames)) for shift in range(25, max(26, frames - 25))
    ]
    return _gain(score, np.array(shifted))


def speed_gain(angles: NDArray[Any], samples: NDArray[Any], lags: range = range(-3, 8)) -> BeatGain:
    """The same without beats: correlation of the head's speed with the loudness, best within ``lags`` frames."""
    speed, level = head_speed(angles), loudness(samples, len(angles))

    def best(shift: int) -> float:
        return max(_correlation(speed, np.roll(level, shift + lag)) for lag in lags)

    shifted = [best(shift) for shift in range(25, max(26, len(angles) - 25), 3)]
    return _gain(best(0), np.array(shifted))


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0


def _gain(score: float, shifted: Floats) -> BeatGain:
    spread = float(shifted.std())
    return BeatGain(
        score, float(shifted.mean()), (score - float(shifted.mean())) / spread if spread > 0 else math.nan
    )
