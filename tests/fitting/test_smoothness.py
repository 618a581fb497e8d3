from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from fitting.smoothness import Smoothness, cross_validate, scaled
from fitting.solver import FitState, SolverConfig
from fitting.windows import landmark_model, observe
from tests.generated_clip import choreography, true_track

FRAMES = 45


def _chosen(noise_px: float, speed: float = 1.0) -> Smoothness:
    model = MorphableModel.load()
    motion = choreography(round(FRAMES * max(speed, 1)), model)[
        np.arange(0, FRAMES * speed, speed).astype(int)
    ]
    truth = true_track(motion)
    rng = np.random.default_rng(0)
    marks = truth.landmarks + rng.normal(0, noise_px, truth.landmarks.shape)
    observed = observe(marks, np.arange(FRAMES), coupled=True)
    start = FitState(
        *(x.astype(np.float64) for x in (motion.rotation, motion.translation, motion.expression)), np.zeros(0)
    )
    rows = landmark_model(model, model.neutral(truth.identity))
    factors = (0.06, 0.25, 1.0, 4.0)
    return cross_validate(rows, truth.camera, observed, start, SolverConfig(iterations=4), factors)


def test_a_noisy_detector_asks_for_more_smoothing_than_an_exact_one() -> None:
    noisy, exact = _chosen(3.0), _chosen(0.05)
    assert noisy.factor < exact.factor
    assert set(noisy.errors) == {0.06, 0.25, 1.0, 4.0}
    assert noisy.errors[noisy.factor] <= 1.005 * min(noisy.errors.values())


def test_too_much_smoothing_predicts_badly() -> None:
    errors = _chosen(0.05, speed=2.0).errors
    assert errors[0.06] > 1.3 * errors[1.0]


def test_scaling_touches_the_temporal_prior_only() -> None:
    config = scaled(SolverConfig(), 2.0)
    assert config.smooth_rotation == pytest.approx(2 * SolverConfig().smooth_rotation)
    assert config.smooth_expression == pytest.approx(2 * SolverConfig().smooth_expression)
    assert config.pixel_sigma == SolverConfig().pixel_sigma
