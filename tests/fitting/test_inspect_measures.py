"""What inspection measures on single faces and on curves, against known truths."""

from __future__ import annotations

import numpy as np
import pytest

from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from faces.rotation import rotvec_from_euler
from fitting.inspect.blur import detail_kept, detail_tensor
from fitting.inspect.chart import face_chart
from fitting.inspect.cover import colourless_lips, covered_shares
from fitting.inspect.light import light_curve, light_drift, light_steps, without_turns
from fitting.inspect.pose import head_pose
from studio.inspection_faults import lit, shaken, unfocused
from tests.fitting.moving_face import moving_face

SIZE = (640, 480)


def landmarks_at(pitch: float, yaw: float, roll: float, seed: int | None = None) -> np.ndarray:
    """(478, 3) exact landmarks of a made-up person; the mean head without a seed."""
    model = MorphableModel.load()
    components = model.identity_basis.shape[-1]
    rng = np.random.default_rng(seed)
    identity = np.zeros(components) if seed is None else rng.normal(0, 0.5, components)
    points = model.landmark_points(model.neutral(identity))
    turn = rotvec_from_euler(np.array([pitch, yaw, roll]))
    placed = to_camera(points[None], turn[None], np.array([[20.0, 10.0, 600.0]]))[0]
    return np.column_stack([Camera.for_image(*SIZE).project(placed), placed[:, 2]])


@pytest.mark.parametrize("angles", [(0, 0, 0), (12, -20, 5), (-15, 30, -10), (5, 45, 0)])
def test_pose_of_the_mean_head_is_exact(angles: tuple[float, float, float]) -> None:
    assert head_pose(landmarks_at(*angles), SIZE) == pytest.approx(angles, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_pose_of_other_heads_is_close(seed: int) -> None:
    found = head_pose(landmarks_at(4, -15, 3, seed), SIZE)
    assert found == pytest.approx((4, -15, 3), abs=5)


def test_the_chart_brings_a_moved_and_scaled_face_to_the_same_picture() -> None:
    chart = face_chart()
    assert set(chart.regions) >= {"forehead", "nose", "right_cheek", "left_cheek", "lips", "mouth", "chin"}
    assert all((part & ~chart.skin).sum() == 0 and part.sum() > 50 for part in chart.regions.values())
    mesh = landmarks_at(0, 0, 0)
    image = np.zeros((480, 640, 3), np.uint8)
    y, x = np.mgrid[:480, :640]
    image[...] = (120 + 60 * np.sin(x / 25) + 40 * np.cos(y / 31))[..., None].astype(np.uint8)
    once = chart.read(image, mesh).astype(int)
    moved = chart.read(np.roll(image, (13, 21), (0, 1)), mesh + np.array([21, 13, 0])).astype(int)
    large = np.repeat(np.repeat(image, 2, 0), 2, 1)
    twice = chart.read(large, mesh * [2, 2, 1]).astype(int)
    assert np.abs(once - moved)[chart.skin].max() <= 1
    assert np.abs(once - twice)[chart.skin].mean() < 3


def skins(count: int, level: float = 150.0) -> np.ndarray:
    """(count, H, W, 3) even skin with redder lips and some noise."""
    chart = face_chart()
    picture = np.ones((*chart.skin.shape, 3)) * level * np.array([1.0, 0.75, 0.6])
    picture[chart.regions["lips"]] *= [0.85, 0.6, 0.65]
    noise = np.random.default_rng(0).normal(0, 2, (count, *picture.shape))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_light_is_measured_in_stops() -> None:
    charts = skins(40)
    steady = light_curve(charts, face_chart())
    assert np.abs(steady).max() < 0.05
    charts[20:] = lit(charts[20:], -0.5)
    curve = light_curve(charts, face_chart())
    assert curve[:20, 0].mean() - curve[20:, 0].mean() == pytest.approx(0.5, abs=0.05)
    steps = light_steps(curve)
    assert np.argmax(steps) == 20
    assert steps.max() == pytest.approx(0.5, abs=0.06)
    assert np.delete(steps, 20).max() < 0.1
    assert light_drift(curve) == pytest.approx(0.5, abs=0.05)


def test_a_ramp_drifts_without_steps_and_a_flash_steps_without_drift() -> None:
    ramp = np.linspace(0, 1, 60)[:, None] * [1.0, 0.0, 0.0]
    assert light_steps(ramp).max() < 0.05
    assert light_drift(ramp) > 0.9
    flash = np.zeros((60, 3))
    flash[30, 0] = 0.8
    assert set(np.nonzero(light_steps(flash) > 0.5)[0]) <= {30, 31}
    assert light_steps(flash)[30] == pytest.approx(0.8)
    assert light_drift(flash) < 0.05


def test_a_head_that_turns_under_steady_light_changes_nothing() -> None:
    time = np.arange(60)
    yaw, pitch = 25 * np.sin(time / 4), 6 * np.sin(time / 3 + 1)
    turning = np.outer(0.012 * yaw - 0.01 * pitch - 0.0002 * yaw**2, [1.0, 0.1, -0.1])
    assert light_drift(turning) > 0.4
    assert light_drift(without_turns(turning, yaw, pitch)) < 0.05
    cloud = turning + np.where(time < 30, 0.0, -0.6)[:, None] * [1.0, 0.0, 0.0]
    left = without_turns(cloud, yaw, pitch)
    assert light_steps(left)[30] == pytest.approx(0.6, abs=0.15)
    assert light_drift(left) == pytest.approx(0.6, abs=0.1)
    drift = turning - (time / 59)[:, None] * [0.8, 0.0, 0.0]
    assert light_drift(without_turns(drift, yaw, pitch)) == pytest.approx(0.75, abs=0.15)


def test_one_covered_or_shaded_part_is_no_change_of_light() -> None:
    charts, chart = skins(40), face_chart()
    charts[10:20, chart.regions["right_cheek"]] //= 3
    assert np.abs(light_curve(charts, chart)).max() < 0.1
    shares = covered_shares(charts, chart, light_curve(charts, chart))
    assert shares["right_cheek"][10:20].min() > 0.8
    assert np.delete(shares["right_cheek"], range(10, 20)).max() == 0
    assert shares["forehead"].max() == 0


def test_lips_without_colour() -> None:
    charts, chart = skins(9), face_chart()
    assert colourless_lips(charts, chart) == 0
    charts[:, chart.regions["lips"]] = 60
    assert colourless_lips(charts, chart) == 1
    assert colourless_lips(np.full_like(charts, 90), chart) is None


def test_motion_takes_detail_in_one_direction_and_focus_in_all() -> None:
    image = moving_face(0)
    mesh = np.zeros((478, 3), np.float32)
    mesh[:] = [160, 160, 0]
    mesh[33, :2], mesh[263, :2] = (125, 133), (188, 130)
    mesh[0, :2], mesh[1, :2] = (100, 90), (215, 230)
    pictures = [image, image, image, shaken(image, mesh, 0.15, 0.0), unfocused(image, mesh, 0.03)]
    most, least = detail_kept(np.stack([detail_tensor(picture, mesh) for picture in pictures]))
    assert most[:3] == pytest.approx(1, abs=0.05)
    assert least[3] < 0.35 * most[3]
    assert most[3] > 3 * most[4]


@pytest.mark.parametrize("shift", [(-330, 0, 0), (310, 220, 0), (0, -250, 0)])
def test_a_face_that_leaves_the_picture_is_still_measured(shift: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    mesh = landmarks_at(0, 0, 0) + np.array(shift)
    assert face_chart().read(image, mesh).shape == (*face_chart().skin.shape, 3)
    assert np.isfinite(detail_tensor(image, mesh)).all()


def test_one_frame_is_enough_to_be_measured() -> None:
    charts, chart = skins(1), face_chart()
    curve = without_turns(light_curve(charts, chart), np.zeros(1), np.zeros(1))
    assert light_steps(curve).tolist() == [0.0]
    assert light_drift(curve) == 0.0
    assert max(share.max() for share in covered_shares(charts, chart, curve).values()) == 0
    most, least = detail_kept(np.array([[[2.0, 0.5], [0.5, 1.0]]]))
    assert (most[0], least[0]) == pytest.approx((1, 1))
