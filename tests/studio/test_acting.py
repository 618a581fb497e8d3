from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from studio.acting import BLINK_S, MAX_GAZE, MAX_PITCH, MAX_ROLL, MAX_YAW, Performance, act
from studio.gestures import FPS

NAMES = MorphableModel.load().expression_names


def perform(seed: int, frames: int = 100, shut: float = 0.9) -> Performance:
    return act(np.random.default_rng(seed), frames, NAMES, (10.0, -20.0, 600.0), shut)


@pytest.mark.parametrize("seed", range(6))
def test_limits(seed: int) -> None:
    motion = perform(seed).motion
    assert (np.abs(motion.euler()).max(0) <= np.array([MAX_PITCH, MAX_YAW, MAX_ROLL]) + 0.01).all()
    assert (np.abs(motion.gaze) <= MAX_GAZE + 1e-6).all()
    assert np.abs(np.median(motion.gaze, axis=0)).max() < 0.02
    assert motion.expression.min() >= 0
    assert motion.expression.max() <= 1
    assert np.abs(motion.translation - [10, -20, 600]).max() < 60


@pytest.mark.parametrize("seed", range(6))
def test_blinks_are_where_they_are_said_to_be(seed: int) -> None:
    done = perform(seed)
    closed = done.motion.expression[:, NAMES.index("eyeBlinkLeft")]
    assert len(done.blinks) >= 1
    for blink in done.blinks:
        assert blink.start <= blink.peak <= blink.end
        assert blink.end - blink.start + 1 <= BLINK_S[1] * FPS + 1
        assert closed[blink.peak] == pytest.approx(0.9, abs=1e-5)
        assert closed[blink.peak] == closed[blink.start : blink.end + 1].max()
    elsewhere = np.ones(len(closed), bool)
    for blink in done.blinks:
        elsewhere[blink.start : blink.end + 1] = False
    assert closed[elsewhere].max() < 0.2


def test_the_mouth_speaks() -> None:
    jaw = perform(3).motion.expression[:, NAMES.index("jawOpen")]
    assert np.ptp(jaw) > 0.15
