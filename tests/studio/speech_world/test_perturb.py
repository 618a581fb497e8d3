"""Recordings of all kinds, none of which moves the sound in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import correlate

from studio.speech_world.perturb import (
    RATE,
    add_noise,
    add_room,
    change_speed,
    clip_softly,
    perturb,
    shape_band,
    through_codec,
)
from tests.motion.conftest import speak

Array = np.ndarray


@pytest.mark.parametrize("step", [add_room, shape_band, add_noise, clip_softly, through_codec])
def test_no_step_moves_the_sound(step: Callable[[Array, np.random.Generator], Array]) -> None:
    samples = speak(75, seed=3).samples
    for seed in range(6):
        changed = step(samples, np.random.default_rng(seed))
        assert len(changed) == len(samples)
        assert np.isfinite(changed).all()
        assert not np.array_equal(changed, samples)
        lag = int(correlate(changed, samples, mode="full", method="fft").argmax()) - (len(samples) - 1)
        assert abs(lag) <= 0.005 * RATE


def test_speed_scales_all_times_by_the_factor_reported() -> None:
    clicks = np.zeros(4 * RATE, np.float32)
    clicks[RATE::RATE] = 1.0
    for factor in (0.9, 1.1):
        slower = change_speed(clicks, factor)
        assert abs(len(slower) / len(clicks) - factor) < 1e-3
        peaks = np.flatnonzero(np.abs(slower) > 0.4)
        assert np.abs(peaks[:1] - factor * RATE).max() < 20


def test_many_recordings_are_clean_and_none_is_out_of_range() -> None:
    samples = speak(50, seed=4).samples
    same_length, factors = 0, []
    for seed in range(40):
        changed, factor = perturb(samples, np.random.default_rng(seed))
        assert np.abs(changed).max() <= 1
        assert len(changed) == round(factor * len(samples))
        factors.append(factor)
        if factor == 1.0:
            scaled = changed / np.abs(changed).max() * np.abs(samples).max()
            same_length += bool(np.allclose(scaled, samples, atol=1e-4))
    assert same_length >= 3
    assert 0.85 < min(factors) < 0.97 < 1.03 < max(factors) < 1.15
