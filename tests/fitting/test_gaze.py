from __future__ import annotations

import numpy as np

from faces.morphable import MorphableModel
from fitting.gaze import solve_gaze
from tests.generated_clip import FRAMES, choreography, true_track


def _solve(blink: float = 0.0, wild: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Gaze found in 40 frames, in the middle of which the eyes shut and the irises are drawn anywhere; the truth."""
    model = MorphableModel.load()
    track = true_track(choreography(FRAMES, model))
    expression, points = np.zeros_like(track.motion.expression), track.landmarks.copy()
    shut = slice(18, 22)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        expression[shut, model.expression_index(name)] = blink
    points[shut, 468:] += wild
    gaze = solve_gaze(
        model, model.neutral(track.identity), track.camera, track.motion.rotation, track.motion.translation,
        expression, points,
    )  # fmt: skip
    return gaze, track.motion.gaze - np.median(track.motion.gaze, axis=0)


def test_gaze_comes_back_from_exact_irises() -> None:
    gaze, truth = _solve()
    assert np.abs(gaze - truth).max() < 0.03
    assert truth.std(0).min() > 0.05


def test_irises_behind_closed_lids_are_not_believed() -> None:
    still, _ = _solve()
    open_eyes, _ = _solve(wild=4.0)
    shut, _ = _solve(blink=0.7, wild=4.0)
    frames = slice(18, 22)
    assert np.abs(open_eyes - still)[frames].max() > 0.2
    assert np.abs(shut - still)[frames].max() < 0.1
