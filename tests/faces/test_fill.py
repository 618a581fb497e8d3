from __future__ import annotations

import cv2
import numpy as np

from faces.fill import extrapolate


def test_extrapolation_keeps_what_is_known_and_fills_the_rest() -> None:
    weight = np.zeros((32, 32), np.float32)
    weight[10:20, 12:22] = 1
    values = np.dstack([np.full((32, 32), 3.0), np.tile(np.arange(32.0), (32, 1))]).astype(np.float32)
    filled = extrapolate(values * weight[..., None], weight)
    np.testing.assert_allclose(filled[weight > 0], values[weight > 0], atol=1e-4)
    np.testing.assert_allclose(filled[..., 0], 3.0, atol=1e-3)
    assert filled[..., 1].min() > 10
    assert filled[..., 1].max() < 24


def test_completion_keeps_what_is_known() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    seen = np.zeros((64, 64), np.float32)
    cv2.circle(seen, (20, 30), 12, 1.0, -1)
    filled = extrapolate(image * seen[..., None], seen)
    np.testing.assert_allclose(filled[seen > 0], image[seen > 0], atol=1e-3)
    assert np.abs(filled[seen == 0].mean(0) - image[seen > 0].mean(0)).max() < 40
    assert not extrapolate(image * 0, seen * 0).any()
