from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from faces.camera import to_camera
from faces.morphable import DEFAULT_MODEL, MorphableModel
from faces.mouth import LEFT_IRIS, LIPS, RIGHT_IRIS
from studio.detector_bias import landmark_displacement, shaped, write_bias
from tests.benchmarks.exact_clip import exact_clip


def test_a_displacement_on_the_head_is_found_from_its_pixels() -> None:
    clip = exact_clip()
    true = np.random.default_rng(0).normal(0, 2.0, (478, 3))
    points = clip.person.model.detected_points(clip.vertices()) + true
    placed = to_camera(points, clip.motion.rotation, clip.motion.translation)
    pixels = clip.camera.project(placed)
    pixels[:3] = np.nan  # frames without a face
    found = landmark_displacement(clip, pixels)
    np.testing.assert_allclose(found[:, :2], true[:, :2], atol=1.0)
    assert np.corrcoef(found[:, 2], true[:, 2])[0, 1] > 0.8, "depth shows as the head turns"
    assert np.abs(landmark_displacement(clip, clip.landmarks)).max() < 1e-2


def test_a_bias_is_added_to_the_one_that_it_was_measured_with(tmp_path: Path) -> None:
    path = tmp_path / "head.npz"
    shutil.copy(DEFAULT_MODEL, path)
    before = MorphableModel.load()
    assert before.landmark_bias is not None
    measured = np.random.default_rng(1).normal(0, 1.0, (478, 3))
    write_bias(path, measured)
    after = MorphableModel.load(path)
    np.testing.assert_allclose(
        after.landmark_bias,
        before.landmark_bias + shaped(measured, before.landmark_points(before.mean)),
        atol=1e-6,
    )
    np.testing.assert_array_equal(after.mean, before.mean)
    assert [p.name for p in tmp_path.iterdir()] == ["head.npz"]


def test_gaps_of_lips_and_the_irises_are_left_alone() -> None:
    model = MorphableModel.load()
    kept = shaped(np.random.default_rng(2).normal(0, 1.0, (478, 3)), model.landmark_points(model.mean))
    assert np.ptp(kept[list(LIPS)], axis=0).max() < 1e-6
    assert not kept[[*RIGHT_IRIS, *LEFT_IRIS]].any()


def test_the_shipped_bias_is_small_and_symmetric() -> None:
    model = MorphableModel.load()
    assert model.landmark_bias is not None
    assert np.linalg.norm(model.landmark_bias, axis=1).max() < 9.0
    assert np.linalg.norm(model.landmark_bias[list(LIPS)], axis=1).max() < 3.0
    assert abs(model.landmark_bias[:, 0].mean()) < 0.02
