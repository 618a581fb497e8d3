from __future__ import annotations

import numpy as np
import pytest

from faces.camera import to_camera
from fitting.landmarks import FaceLandmarker
from studio.film import _smear
from studio.synthetic_clips import SyntheticClip, make_clip

FRAMES = 6


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(12, FRAMES, (320, 320))


def test_the_detector_finds_the_face_where_the_truth_says(clip: SyntheticClip) -> None:
    assert clip.frames.shape == (FRAMES, 320, 320, 3)
    assert clip.frames.dtype == np.uint8
    with FaceLandmarker() as landmarker:
        found = landmarker.track(clip.frames)
    assert found.found.all()
    unit = np.linalg.norm(clip.landmarks[:, 33] - clip.landmarks[:, 263], axis=-1)
    error = np.linalg.norm(found.points - clip.landmarks, axis=-1).mean(1) / unit
    assert error.max() < 0.07


def test_the_track_says_the_same_as_the_truth(clip: SyntheticClip) -> None:
    track = clip.track()
    model = clip.person.model
    np.testing.assert_allclose(model.neutral(track.identity, track.offsets), clip.person.neutral, atol=1e-4)
    placed = to_camera(
        model.detected_points(clip.vertices()), track.motion.rotation, track.motion.translation
    )
    np.testing.assert_allclose(clip.camera.project(placed), clip.landmarks, atol=1e-3)
    assert 0.9 <= clip.camera.focal / 320 <= 1.5
    assert track.light.shape == (FRAMES, 27)


def test_the_same_seed_is_the_same_clip(clip: SyntheticClip) -> None:
    again = make_clip(12, FRAMES, (320, 320))
    # x264 leaves a hundred values of a million to chance.
    assert (again.frames != clip.frames).mean() < 1e-3
    np.testing.assert_array_equal(again.landmarks, clip.landmarks)


def test_the_shutter_smears_along_the_motion_and_keeps_the_light() -> None:
    dot = np.zeros((21, 21, 4), np.float32)
    dot[10, 10] = 1
    smeared = _smear(dot, np.array([6.0, 0.0]))[..., 0]
    assert smeared.sum() == pytest.approx(1.0, abs=1e-5)
    rows, columns = np.nonzero(smeared > 1e-3)
    assert np.ptp(rows) <= 1
    assert 5 <= np.ptp(columns) <= 8
    assert columns.mean() == pytest.approx(10, abs=0.51)
