"""The lip geometry that training and closures rest on."""

from __future__ import annotations

import numpy as np

from faces.morphable import MorphableModel
from motion.targets import head_geometry, signed_opening


def test_the_linear_opening_is_the_meshs_own() -> None:
    """Also with personal offsets that press the lips together, where the points' distance in space bends."""
    model = MorphableModel.load()
    names = model.expression_names
    rng = np.random.default_rng(0)
    for sink in (0.0, 1.5, 3.0):
        neutral = model.mean.copy()
        lower = neutral[:, 1] < np.median(neutral[:, 1])
        neutral[lower, 2] += sink  # the lower lip comes forward, so the rings do not meet point to point
        geometry = head_geometry(model, names, neutral)
        coefficients = (0.2 * rng.random((40, len(names)))).astype(np.float32)
        true = signed_opening(model.landmark_points(model.vertices(neutral, coefficients)))
        linear = coefficients @ geometry.opening + geometry.rest
        assert np.corrcoef(linear, true)[0, 1] > 0.995
        assert np.abs(linear - true).max() < 0.01


def test_crossed_lips_count_below_zero() -> None:
    model = MorphableModel.load()
    points = model.landmark_points(model.mean[None])
    opened, crossed = points.copy(), points.copy()
    lower = (178, 87, 14, 317, 402)
    opened[:, lower, 1] -= 5.0
    crossed[:, lower, 1] += 5.0
    still = float(signed_opening(points)[0])
    assert float(signed_opening(opened)[0]) > still + 0.03
    assert float(signed_opening(crossed)[0]) < min(still, 0)
