"""Motion with known events for ground truth: speech, head turns, blinks whose frames are known, jumps of the gaze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from faces.rotation import rotvec_from_euler
from faces.track import Motion
from studio.babble import babble
from studio.complexion import smooth_step
from studio.gestures import FPS, mouth, wander

Floats = NDArray[np.float64]

MAX_YAW, MAX_PITCH, MAX_ROLL = 25.0, 12.0, 10.0
"""Largest turns of the head in degrees; each clip draws its own limits below these."""
MAX_GAZE = np.radians([20.0, 14.0])
"""Largest turns of the eyes, sideways and up or down."""
BLINK_S = (0.120, 0.250)
"""Shortest and longest blink in seconds, from the first movement of the lid to the last."""


@dataclass(frozen=True)
class Blink:
    """One blink, in frames."""

    start: int
    """First frame in which the lids have moved."""
    peak: int
    """Frame in which they are shut."""
    end: int
    """Last frame in which they have not returned."""


@dataclass(frozen=True)
class Performance:
    """What somebody does in a clip."""

    motion: Motion
    """Pose, expression and gaze; the median of the gaze is straight ahead."""
    blinks: tuple[Blink, ...]
    """All blinks in order; none is cut off by the clip's ends."""


def act(
    rng: np.random.Generator,
    frames: int,
    names: tuple[str, ...],
    place: tuple[float, float, float],
    shut: float = 1.0,
) -> Performance:
    """Somebody talks to the camera at 25 fps.

    Args:
        rng: source of chance.
        frames: T.
        names: the morphable model's expression names.
        place: where the head is, camera millimetres.
        shut: ``eyeBlink`` at which this person's lids meet.
    """
    closure, blinks = _blinks(rng, frames)
    gaze = _gaze(rng, frames)
    euler = np.column_stack(
        [
            _turn(rng, frames, 1.1, rng.uniform(0.3, 1.0) * MAX_PITCH),
            _turn(rng, frames, 1.3, rng.uniform(0.3, 1.0) * MAX_YAW),
            _turn(rng, frames, 1.5, rng.uniform(0.2, 1.0) * MAX_ROLL),
        ]
    )
    sway = np.column_stack([wander(rng, frames, s) for s in (2.0, 1.8, 2.2)]) * [8.0, 4.0, 10.0]
    return Performance(
        Motion(
            rotation=rotvec_from_euler(euler).astype(np.float32),
            translation=(sway + np.asarray(place)).astype(np.float32),
            expression=_expression(rng, frames, names, closure, gaze, shut).astype(np.float32),
            gaze=gaze.astype(np.float32),
        ),
        blinks,
    )


def _turn(rng: np.random.Generator, frames: int, seconds: float, limit: float) -> Floats:
    """(frames,) degrees: wandering that just reaches ``limit``."""
    angle = wander(rng, frames, seconds)
    return angle * limit / max(float(np.abs(angle).max()), 1e-6)


def _expression(
    rng: np.random.Generator, frames: int, names: tuple[str, ...], closure: Floats, gaze: Floats, shut: float
) -> Floats:
    index = {name: n for n, name in enumerate(names)}
    expression = mouth(babble(rng, frames / FPS, rng.uniform(3.5, 5.5)), frames, names) * rng.uniform(
        0.6, 1.25
    )
    smile = rng.uniform(0, 0.35) * (rng.random() < 0.5) * smooth_step(wander(rng, frames, 2.0), -1, 1)
    squint = rng.uniform(0.0, 0.2)
    for side in ("Left", "Right"):
        lopsided = rng.uniform(0.85, 1.15)
        added = {
            f"mouthSmile{side}": smile * lopsided,
            f"cheekSquint{side}": 0.6 * smile * lopsided,
            f"browOuterUp{side}": np.clip(0.1 + 0.15 * wander(rng, frames, 1.6), 0, 1),
            f"browDown{side}": np.clip(-0.1 + 0.15 * wander(rng, frames, 1.6), 0, 1),
            f"eyeSquint{side}": squint + (0.3 - squint) * closure,
            f"eyeLookDown{side}": 0.8 * np.clip(-gaze[:, 1] / 0.35, 0, 1) * (1 - closure),
            f"eyeLookUp{side}": 0.6 * np.clip(gaze[:, 1] / 0.35, 0, 1) * (1 - closure),
            f"eyeBlink{side}": rng.uniform(0.0, 0.12) * (1 - closure) + shut * closure,
        }
        for name, value in added.items():
            expression[:, index[name]] += value
        for name in index:
            if name.startswith("mouth") and name.endswith(side):
                expression[:, index[name]] *= lopsided
    expression[:, index["browInnerUp"]] += np.clip(0.08 + 0.15 * wander(rng, frames, 1.4), 0, 1)
    return np.clip(expression, 0.0, 1.0)


def _blinks(rng: np.random.Generator, frames: int) -> tuple[Floats, tuple[Blink, ...]]:
    """(frames,) closure 0..1, and the blinks: lids shut faster than they open and stay shut for a frame."""
    times = np.arange(frames) / FPS
    closure, found = np.zeros(frames), list[Blink]()
    begin = rng.uniform(0.3, 1.3)
    while True:
        length = rng.uniform(*BLINK_S)
        shut = 1 / FPS
        closing = 0.36 * (length - shut)
        shape = smooth_step(times - begin, 0, closing) * smooth_step(times - begin, length, closing + shut)
        moved = np.nonzero(shape > 0)[0]
        if begin + length > (frames - 3) / FPS:
            return closure, tuple(found)
        middle = (begin + closing + shut / 2) * FPS
        peak = moved[np.lexsort((np.abs(moved - middle), -shape[moved].round(6)))[0]]
        found.append(Blink(int(moved[0]), int(peak), int(moved[-1])))
        closure = np.maximum(closure, shape)
        begin += length + rng.uniform(0.8, 3.2)


def _gaze(rng: np.random.Generator, frames: int) -> Floats:
    """(frames, 2) radians: the eyes rest on a point, mostly near the middle, and jump; the median is zero."""
    result = np.zeros((frames, 2))
    at, point = 0, np.zeros(2)
    while at < frames:
        result[at:] = point
        spread = rng.choice([0.15, 0.5, 1.0], p=[0.4, 0.35, 0.25])
        point = rng.uniform(-1, 1, 2) * MAX_GAZE * spread
        at += int(rng.uniform(0.3, 1.2) * FPS)
    result = gaussian_filter1d(result, 0.6, axis=0)
    return np.clip(result - np.median(result, axis=0), -MAX_GAZE, MAX_GAZE)
