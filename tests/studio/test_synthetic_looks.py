from __future__ import annotations

import numpy as np

from faces.morphable import MorphableModel
from studio.synthetic_looks import BROW_LOWER, BROW_UPPER, invent_look

MODEL = MorphableModel.load()


def test_brows_lie_between_their_landmarks() -> None:
    points = MODEL.landmark_points(MODEL.mean)
    lifts = []
    for seed in range(20):
        curve = np.array(invent_look(np.random.default_rng(seed), MODEL).brow_curve)
        np.testing.assert_allclose(
            curve[:, 0], (points[list(BROW_UPPER), 0] + points[list(BROW_LOWER), 0]) / 2, atol=1e-3
        )
        lifts.append((curve[:, 1] - (points[list(BROW_UPPER), 1] + points[list(BROW_LOWER), 1]) / 2).mean())
    assert abs(np.mean(lifts)) < 1.0
    assert 0.3 < np.std(lifts) < 2.5


def test_skins_range_from_light_to_dark() -> None:
    tones = [np.mean(invent_look(np.random.default_rng(seed), MODEL).skin) for seed in range(60)]
    assert min(tones) < 0.12
    assert max(tones) > 0.5
