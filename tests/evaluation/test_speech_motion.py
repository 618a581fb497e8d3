"""Bilabials, silence and beats."""

from __future__ import annotations

import math

import numpy as np

from evaluation.beats import beat_alignment, beat_gain, motion_beats, sound_beats, speed_gain
from evaluation.speech_motion import bilabial_hits, silence_motion_ratio, speech_motion_in_silence


def test_a_bilabial_is_hit_within_one_frame() -> None:
    opening = np.full(40, 0.1)
    opening[[9, 20, 32]] = 0.0
    assert bilabial_hits(opening, [10, 20, 30]) == (2, 3)
    assert bilabial_hits(opening, [0, 39]) == (0, 2)


def test_speech_like_motion_in_silence_is_seen() -> None:
    rng = np.random.default_rng(0)
    silent = np.zeros(200, bool)
    silent[80:140] = True
    real = np.where(silent, 0.05, 0.05 + 0.03 * rng.standard_normal(200)) + 0.001 * rng.standard_normal(200)
    assert silence_motion_ratio(real, real, silent) == 1.0
    babbling = 0.05 + 0.03 * rng.standard_normal(200)
    assert silence_motion_ratio(real, babbling, silent) > 10
    assert speech_motion_in_silence(babbling, silent) > 0.8
    assert speech_motion_in_silence(real, silent) < 0.1
    assert math.isnan(silence_motion_ratio(real, real, np.zeros(200, bool)))


def nodding(frames: int, period: int, lag: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sound with a loud syllable at irregular times, and a head that nods on each."""
    rng = np.random.default_rng(period)
    beats = np.cumsum(rng.integers(period - 4, period + 5, frames // period))
    beats = beats[beats < frames - 12]
    level = np.full(frames, 0.01)
    angle = np.zeros(frames)
    for beat in beats:
        level[beat - 1 : beat + 3] = 0.3
        angle += 3 * np.exp(-0.5 * ((np.arange(frames) - beat - lag) / 3) ** 2)
    samples = np.repeat(level, 640) * rng.standard_normal(frames * 640)
    angles = np.column_stack([angle, 0.05 * rng.standard_normal(frames), np.zeros(frames)])
    return angles, samples


def test_a_head_that_nods_with_its_speech_is_above_chance() -> None:
    angles, samples = nodding(600, 22)
    assert len(sound_beats(samples, 600)) > 15
    assert len(motion_beats(angles)) > 15
    with_it = speed_gain(angles, samples)
    assert with_it.z > 3
    assert beat_gain(angles, samples).z > 1.5
    other, _ = nodding(600, 31)
    assert speed_gain(other, samples).z < with_it.z - 2


def test_alignment_is_one_on_the_beat_and_falls_off() -> None:
    sound = np.array([10, 30, 50])
    assert beat_alignment(sound, sound) == 1.0
    assert 0.5 < beat_alignment(sound + 2, sound) < 0.7
    assert beat_alignment(sound + 8, sound) < 0.01
    assert math.isnan(beat_alignment(np.zeros(0, np.int64), sound))
