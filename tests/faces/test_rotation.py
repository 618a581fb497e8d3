from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from faces.mouth import inter_ocular_distance
from faces.rotation import compose, euler_from_rotvec, exp_map, log_map, rotvec_from_euler

turns = arrays(np.float64, (4, 3), elements=st.floats(-1.7, 1.7))  # angles below pi
NOSE, CROWN, CHIN = 1, 10, 152


@settings(max_examples=50, deadline=None)
@given(turns)
def test_log_undoes_exp(rotvec: np.ndarray) -> None:
    matrices = exp_map(rotvec)
    assert matrices.shape == (4, 3, 3)
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (4, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-12)
    np.testing.assert_allclose(log_map(matrices), rotvec, atol=1e-7)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (2, 3), elements=st.floats(-85, 85)))
def test_euler_angles_come_back(euler: np.ndarray) -> None:
    np.testing.assert_allclose(euler_from_rotvec(rotvec_from_euler(euler)), euler, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(turns, turns)
def test_compose_applies_the_right_one_first(left: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_allclose(exp_map(compose(left, right)), exp_map(left) @ exp_map(right), atol=1e-9)


def test_compose_broadcasts_and_does_not_commute() -> None:
    about_x, about_y = np.array([0.5, 0, 0]), np.array([[0, 0.5, 0], [0, 0, 0]])
    one, other = compose(about_x, about_y), compose(about_y, about_x)
    assert one.shape == other.shape == (2, 3)
    assert np.abs(one[0] - other[0]).max() > 0.1
    np.testing.assert_allclose(one[1], about_x, atol=1e-12)


def test_euler_order_is_pitch_then_yaw_then_roll_from_the_left() -> None:
    pitch, yaw, roll = np.radians([20.0, 30.0, 40.0])
    expected = (
        exp_map(np.array([pitch, 0, 0])) @ exp_map(np.array([0, yaw, 0])) @ exp_map(np.array([0, 0, roll]))
    )
    np.testing.assert_allclose(exp_map(rotvec_from_euler(np.array([20.0, 30.0, 40.0]))), expected, atol=1e-12)


def test_exp_is_a_right_handed_turn() -> None:
    quarter = exp_map(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def _project(euler: tuple[float, float, float]) -> np.ndarray:
    """(478, 2) pixels of the mean head."""
    model = MorphableModel.load()
    rotation = rotvec_from_euler(np.array(euler))
    placed = to_camera(model.landmark_points(model.mean), rotation, np.array([0.0, 0.0, 600.0]))
    return Camera.for_image(640, 640).project(placed)


def test_zero_rotation_is_an_upright_head_that_looks_at_the_camera() -> None:
    points = _project((0, 0, 0))
    assert points[CROWN, 1] < points[NOSE, 1] < points[CHIN, 1]  # y points down
    assert points[33, 0] < points[NOSE, 0] < points[263, 0]  # the person's right eye is at the image's left
    assert points[NOSE, 0] == pytest.approx((points[33, 0] + points[263, 0]) / 2, abs=1.5)


@pytest.mark.parametrize("degrees", [8.0, 20.0])
def test_positive_pitch_lowers_the_nose(degrees: float) -> None:
    rest, nodded, raised = _project((0, 0, 0)), _project((degrees, 0, 0)), _project((-degrees, 0, 0))
    eyes = [33, 263]
    below = [p[NOSE, 1] - p[eyes, 1].mean() for p in (raised, rest, nodded)]
    assert below[0] < below[1] < below[2]
    assert nodded[NOSE, 1] > rest[NOSE, 1] + degrees


@pytest.mark.parametrize("degrees", [8.0, 20.0])
def test_positive_yaw_turns_the_nose_to_the_images_right(degrees: float) -> None:
    rest, shaken = _project((0, 0, 0)), _project((0, degrees, 0))
    assert shaken[NOSE, 0] > rest[NOSE, 0] + degrees
    assert inter_ocular_distance(shaken) < inter_ocular_distance(rest)


def test_positive_roll_tilts_the_crown_to_the_images_left() -> None:
    tilted = _project((0, 0, 15.0))
    axis = tilted[CROWN] - tilted[CHIN]
    assert np.degrees(np.arctan2(-axis[0], -axis[1])) == pytest.approx(15.0, abs=1.0)
    assert tilted[263, 1] < tilted[33, 1]  # the eye at the image's right rises
