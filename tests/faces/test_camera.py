from __future__ import annotations

import numpy as np
import pytest

from faces.camera import HEAD_TO_CAMERA, Camera, to_camera


def test_known_projections() -> None:
    camera = Camera(focal=500.0, cx=160.0, cy=120.0, width=320, height=240)
    points = np.array([[0, 0, 1000.0], [100, 0, 1000.0], [0, 100, 500.0], [-40, -20, 250.0]])
    expected = [[160, 120], [210, 120], [160, 220], [80, 80]]
    np.testing.assert_allclose(camera.project(points), expected)
    np.testing.assert_allclose(camera.project(points.reshape(2, 2, 3)), np.reshape(expected, (2, 2, 2)))


def test_twice_as_far_is_half_as_large() -> None:
    camera = Camera.for_image(640, 480)
    near, far = (camera.project(np.array([[30.0, 10.0, z]])) - [320, 240] for z in (400, 800))
    np.testing.assert_allclose(near, 2 * far)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (333, 333)])
def test_camera_of_an_image_has_its_focal_length_from_the_longer_side(width: int, height: int) -> None:
    camera = Camera.for_image(width, height, 1.5)
    assert (camera.focal, camera.cx, camera.cy) == (1.5 * max(width, height), width / 2, height / 2)
    assert (camera.width, camera.height) == (width, height)


def test_head_axes_flip_into_camera_axes() -> None:
    right, up, out = np.eye(3) * 10.0
    placed = to_camera(np.stack([right, up, out]), np.zeros(3), np.array([1.0, 2.0, 600.0]))
    np.testing.assert_allclose(
        placed, [[11, 2, 600], [1, -8, 600], [1, 2, 590]]
    )  # up is -y, out comes nearer
    assert np.linalg.det(HEAD_TO_CAMERA) == 1.0  # a turn, not a mirror


def test_rotation_is_applied_in_the_head_frame_before_the_flip() -> None:
    placed = to_camera(np.array([[0.0, 0.0, 100.0]]), np.array([0, np.pi / 2, 0]), np.array([0, 0, 600.0]))
    np.testing.assert_allclose(placed, [[100, 0, 600]], atol=1e-9)  # the nose goes to the image's right


def test_many_frames_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    points, turns, places = rng.normal(size=(5, 7, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    together = to_camera(points, turns, places)
    for t in range(5):
        np.testing.assert_allclose(together[t], to_camera(points[t], turns[t], places[t]))
