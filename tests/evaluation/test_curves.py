from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.curves import best_lag, correlation, range_ratio


def curve(seed: int = 0, length: int = 200) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(size=length + 20)
    return np.convolve(steps, np.ones(4), "same")[10:-10]


@given(st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_correlation_ignores_gain_and_offset_and_knows_the_sign(gain: float, offset: float) -> None:
    x = curve()
    assert correlation(x, gain * x + offset) == pytest.approx(1)
    assert correlation(x, -gain * x + offset) == pytest.approx(-1)


def test_correlation_equals_numpy_and_skips_missing_frames() -> None:
    x, y = curve(0), curve(0) + curve(1)
    assert correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert abs(correlation(x, curve(2))) < 0.3
    holes = y.copy()
    holes[::7] = np.nan
    kept = np.isfinite(holes)
    assert correlation(x, holes) == pytest.approx(np.corrcoef(x[kept], y[kept])[0, 1])


def test_a_mouth_that_never_moves_correlates_with_nothing() -> None:
    assert correlation(curve(), np.full(200, 0.37)) == 0
    assert math.isnan(correlation(curve(), np.full(200, np.nan)))


@pytest.mark.parametrize("lag", [-5, -2, 0, 1, 5])
def test_best_lag_finds_the_shift_and_positive_means_late(lag: int) -> None:
    whole = curve(length=230)
    real, generated = whole[10:210], whole[10 - lag : 210 - lag]
    found, r = best_lag(real, generated)
    assert found == lag
    assert r == pytest.approx(1)


def test_best_lag_does_not_look_beyond_its_range() -> None:
    whole = curve(length=230)
    found, r = best_lag(whole[10:210], whole[2:202])
    assert abs(found) <= 5
    assert r < 0.9


def test_range_ratio_is_robust_to_a_few_outliers() -> None:
    x = curve()
    assert range_ratio(x, 0.6 * x + 3) == pytest.approx(0.6)
    wild = 0.6 * x
    wild[:4] = 1000
    assert range_ratio(x, wild) == pytest.approx(0.6, rel=0.15)
    assert range_ratio(x, np.zeros(200)) == 0
    assert math.isnan(range_ratio(np.zeros(200), x))
