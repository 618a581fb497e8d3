"""How a synthetic person carries the head, the eyes and the brows while speaking.

A resting pose that changes from phrase to phrase, slow sway, and beats: a stressed syllable is answered, now and then,
by a short movement whose apex lies about on the stressed vowel (Hadar et al. 1983 for beats on stress; Graf et al. 2002
for nods and brow raises with pitch accents). Blinks come at the person's rate and oftener at the ends of phrases
(Nakano & Kitazawa 2010). The head turns about the neck, so a turn moves it as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from studio.gestures import FPS, gaze, wander
from studio.speech import Phoneme

Floats = NDArray[np.float64]

NECK_MM = (0.0, -110.0, -40.0)
"""Where the head turns, from the head's origin, in head axes (up, and towards the face)."""
_BLINK = np.array([0.45, 1.0, 0.9, 0.55, 0.2])


@dataclass(frozen=True)
class CarriageStyle:
    """One person's manner of moving the head."""

    sway_deg: Floats
    """(3,) standard deviation of pitch, yaw, roll in the slow sway, degrees."""
    tempo_s: float
    """Seconds in which the sway changes."""
    posture_deg: Floats
    """(3,) standard deviation of the phrases' resting poses, degrees."""
    beat_deg: Floats
    """(3,) size and direction of an accent's movement, degrees."""
    beat_chance: float
    """Share of the accents that are answered."""
    beat_lag_s: float
    """From the stressed vowel's beginning to the movement's apex, seconds."""
    beat_width_s: float
    """Standard deviation in time of the movement, seconds."""
    sway_mm: float
    """Standard deviation of the body's sway, mm."""
    brow: float
    """How far an accent raises the brows, 0..0.4."""
    frown: float
    """How much the brows are drawn together, 0..0.2."""
    squint: float
    """Narrowing of the eyes, 0..0.25."""
    blinks_per_minute: float
    """6..35."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> CarriageStyle:
        """A person at random."""
        size = np.exp(0.5 * rng.standard_normal())
        direction = np.array(
            [rng.choice([1.0, 1.0, -1.0]), 0.5 * rng.standard_normal(), 0.3 * rng.standard_normal()]
        )
        return cls(
            sway_deg=size * rng.uniform([0.6, 1.0, 0.4], [2.0, 3.5, 1.5]),
            tempo_s=rng.uniform(0.8, 2.2),
            posture_deg=size * rng.uniform([0.5, 0.8, 0.4], [2.0, 3.5, 1.5]),
            beat_deg=size * rng.uniform(0.5, 2.8) * direction,
            beat_chance=rng.uniform(0.3, 0.9),
            beat_lag_s=rng.uniform(0.0, 0.16),
            beat_width_s=rng.uniform(0.08, 0.16),
            sway_mm=size * rng.uniform(1.0, 5.0),
            brow=rng.uniform(0.0, 0.35),
            frown=rng.uniform(0.0, 0.15) * (rng.random() < 0.4),
            squint=rng.uniform(0.0, 0.2),
            blinks_per_minute=rng.uniform(8, 32),
        )


@dataclass(frozen=True)
class Carriage:
    """A head that moves, T frames at 25 fps."""

    pose: Floats
    """(T, 6) about the person's mean: axis-angle in radians, then translation in mm."""
    gaze: Floats
    """(T, 2) radians."""
    blink: Floats
    """(T,) closure of the lids, 0..1."""
    brow_raise: Floats
    """(T,) 0..1."""
    brow_frown: Floats
    """(T,) 0..1."""
    squint: Floats
    """(T,) 0..1."""
    accents: Floats
    """(T,) strength of the accents that were answered, 0 elsewhere."""


def carry(
    rng: np.random.Generator, style: CarriageStyle, phonemes: tuple[Phoneme, ...], frames: int
) -> Carriage:
    """Carry the head through some speech.

    Args:
        rng: source of chance.
        style: the person's.
        phonemes: sounds and pauses from 0 on; stress marks make the accents, pauses end the phrases.
        frames: T.
    """
    accents = np.zeros(frames)
    for phoneme in phonemes:
        at = int((phoneme.start_s + style.beat_lag_s) * FPS)
        if "ˈ" in phoneme.ipa and at < frames and rng.random() < style.beat_chance:
            accents[at] = rng.uniform(0.5, 1.5)
    width = style.beat_width_s * FPS
    beat = gaussian_filter1d(accents, width) * width * np.sqrt(2 * np.pi)  # 1 at the apex of one accent
    ends = [int(p.start_s * FPS) for p in phonemes if not p.ipa and p.end_s - p.start_s > 0.15]
    posture = _postures(rng, ends, frames) * style.posture_deg
    sway = np.column_stack([wander(rng, frames, style.tempo_s * k) for k in (0.9, 1.1, 1.2)]) * style.sway_deg
    angles = np.radians(sway + posture + beat[:, None] * style.beat_deg)
    angles -= angles.mean(0)
    # Small turns: a point r from the pivot moves by the cross product of the turn with r.
    moved = np.cross(angles, -np.array(NECK_MM))
    body = np.column_stack([wander(rng, frames, style.tempo_s * k) for k in (1.6, 1.5, 1.9)])
    translation = moved + style.sway_mm * body * np.array([1.0, 0.5, 1.5])
    return Carriage(
        pose=np.column_stack([angles, translation - translation.mean(0)]),
        gaze=np.clip(gaze(rng, frames) - 0.6 * angles[:, [1, 0]] * np.array([1.0, -1.0]), -0.35, 0.35),
        blink=_blinks(rng, style.blinks_per_minute, ends, frames),
        brow_raise=np.clip(0.08 + style.brow * beat + 0.06 * wander(rng, frames, 2.0), 0, 1),
        brow_frown=np.clip(style.frown * (1 + 0.5 * wander(rng, frames, 2.5)), 0, 1),
        squint=np.clip(style.squint * (1 + 0.3 * wander(rng, frames, 3.0)), 0, 1),
        accents=accents,
    )


def _postures(rng: np.random.Generator, ends: list[int], frames: int) -> Floats:
    """(T, 3) of unit deviation: a new resting pose at about every second pause, reached in half a second."""
    level = np.zeros((frames, 3))
    level[:] = rng.standard_normal(3)
    for end in ends:
        if rng.random() < 0.6:
            level[end:] = rng.standard_normal(3)
    return gaussian_filter1d(level, 0.25 * FPS, axis=0)


def _blinks(rng: np.random.Generator, per_minute: float, ends: list[int], frames: int) -> Floats:
    """(T,) lids: gamma-distributed gaps, and a third of the blinks moved to the nearest end of a phrase."""
    closure = np.zeros(frames)
    mean = 60 * FPS / per_minute
    at = rng.uniform(0, mean)
    while at < frames:
        start = int(at)
        if ends and rng.random() < 0.33:
            start = min(ends, key=lambda end: abs(end - at))
        shape = _BLINK[: max(0, frames - start)] * rng.uniform(0.9, 1.0)
        closure[start : start + len(shape)] = np.maximum(closure[start : start + len(shape)], shape)
        at += 10 + rng.gamma(2.0, max(mean - 10, 5) / 2)
    return closure
