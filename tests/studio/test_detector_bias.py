from __future__ import annotations

import numpy as np

from faces.camera import to_camera
from studio.detector_bias import landmark_displacement
from tests.benchmarks.exact_clip import exact_clip


def test_a_displacement_on_the_head_is_found_from_its_pixels() -> None:
    clip = exact_clip()
    true = np.random.default_rng(0).normal(0, 2.0, (478, 3))
    points = clip.person.model.landmark_points(clip.vertices()) + true
    placed = to_camera(points, clip.motion.rotation, clip.motion.translation)
    pixels = clip.camera.project(placed)
    pixels[:3] = np.nan  # frames without a face
    found = landmark_displacement(clip, pixels)
    np.testing.assert_allclose(found[:, :2], true[:, :2], atol=1.0)
    assert np.corrcoef(found[:, 2], true[:, 2])[0, 1] > 0.8, "depth shows as the head turns"
    assert np.abs(landmark_displacement(clip, clip.landmarks)).max() < 1e-2
