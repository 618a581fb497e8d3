from __future__ import annotations

import numpy as np
import pytest

from faces.camera import Camera, to_camera
from faces.morphable import EYES, MorphableModel
from faces.mouth import inter_ocular_distance
from faces.rotation import rotvec_from_euler
from fitting.landmarks import LANDMARKS, FaceLandmarker
from studio.head_landmarks import (
    LOWER_LEFT_LID,
    LOWER_RIGHT_LID,
    UPPER_LEFT_LID,
    UPPER_RIGHT_LID,
    _closest_on_surface,
    _locate,
    _mirror_pairs,
    _poses,
    _robust_mean,
    shade,
)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def _render(
    model: MorphableModel, euler: tuple[float, float, float] = (0, 0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Picture (360, 360, 3) and true landmarks (478, 2)."""
    camera = Camera.for_image(360, 360, 2.0)
    turn, place = rotvec_from_euler(np.array(euler)), np.array([0.0, -15.0, 800.0])
    placed = to_camera(model.mean.astype(np.float64), turn, place)
    image, _, _ = shade(placed, model.triangles.astype(np.int64), model.albedo.astype(np.float64), camera)
    return image, camera.project(to_camera(model.landmark_points(model.mean), turn, place))


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
def test_the_detector_finds_the_embedded_landmarks_where_they_are(model: MorphableModel, yaw: float) -> None:
    """The embedding that ships, held against the detector it came from."""
    image, truth = _render(model, (0.0, yaw, 0.0))
    with FaceLandmarker(still=True) as landmarker:
        (found,) = landmarker.detect(image)
    error = 100 * np.linalg.norm(found[:, :2] - truth, axis=1) / inter_ocular_distance(_render(model)[1])
    assert error.mean() < 4.5  # % of the inter-ocular distance
    assert np.percentile(error[:468], 90) < 9


def test_renders_are_lit_and_in_front_of_a_light_wall(model: MorphableModel) -> None:
    camera = Camera.for_image(120, 120, 2.0)
    placed = to_camera(model.mean.astype(np.float64), np.zeros(3), np.array([0, 0, 800.0]))
    image, ids, weights = shade(
        placed, model.triangles.astype(np.int64), model.albedo.astype(np.float64), camera
    )
    assert (image[ids < 0] == int(0.92 * 255)).all()
    assert (ids >= 0).mean() > 0.2
    np.testing.assert_allclose(weights[ids >= 0].sum(1), 1, atol=1e-4)
    skin = (ids >= 0) & (model.triangle_part[ids] != EYES)
    assert image[skin].std() > 8
    columns = np.nonzero(skin.any(0))[0]
    right, left = skin.copy(), skin.copy()
    right[:, : columns.mean().astype(int)] = False
    left[:, columns.mean().astype(int) :] = False
    assert image[right].mean() > image[left].mean()  # the light comes from the image's right


def test_lids_are_disjoint_and_mirrored() -> None:
    sets = [set(x) for x in (UPPER_RIGHT_LID, LOWER_RIGHT_LID, UPPER_LEFT_LID, LOWER_LEFT_LID)]
    assert [len(s) for s in sets] == [7, 7, 7, 7]
    assert len(set.union(*sets)) == 28


def test_mirror_pairs_of_a_tilted_symmetric_face(model: MorphableModel) -> None:
    points = model.landmark_points(model.mean).astype(np.float64)
    tilt = np.radians(4.0)
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    pairs = _mirror_pairs(points @ turn.T * [1, -1, -1] + [200, 100, 0])
    np.testing.assert_array_equal(pairs[pairs], np.arange(LANDMARKS))
    for right, left in ((33, 263), (61, 291), (234, 454), (159, 386), (1, 1), (10, 10), (152, 152)):
        assert pairs[right] == left


def test_closest_points_on_triangles() -> None:
    corners = np.array([[[0, 0, 0], [10, 0, 0], [0, 10, 0]], [[0, 0, 50], [10, 0, 50], [0, 10, 50]]], float)
    points = np.array([[2, 3, 4.0], [2, 2, 47.0], [-5, -5, 1.0]])
    index, weights = _closest_on_surface(points, corners)
    np.testing.assert_array_equal(index, [0, 1, 0])
    where = (corners[index] * weights[:, :, None]).sum(1)
    np.testing.assert_allclose(where, [[2, 3, 0], [2, 2, 50], [0, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights.min() >= 0


def test_robust_mean_resists_wild_casts() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal([10.0, 20.0, 30.0], 0.5, (30, 3)), np.full((8, 3), 90.0)])
    assert np.linalg.norm(_robust_mean(points, np.ones(38)) - [10, 20, 30]) < 1.5
    assert np.linalg.norm(points.mean(0) - [10, 20, 30]) > 10


def test_a_landmark_is_taken_from_views_that_see_its_side() -> None:
    """At the image's right (azimuth +70 degrees): only a head turned to the left shows it."""
    true_place, guess = np.array([70.0, 0, 45.0]), np.array([60.0, 0, 70.0])
    yaws = np.radians([0.0, 0, -42, -42, 42, 42])
    points = np.array([true_place, true_place, true_place, true_place, guess, guess])
    located = _locate(points, np.array([0.2, 0.2, 1, 1, 3, 3]), yaws)
    np.testing.assert_allclose(located, true_place, atol=0.5)


def test_poses_cover_turns_mouths_and_lids() -> None:
    poses = _poses(80)
    kinds = [kind for kind, _ in poses]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"rest": 84, "open": 60, "half": 60}
    assert not poses[0][1].identity.any()  # the mean head is among them
    assert {pose.euler[1] for _, pose in poses} == {0.0, -22.0, 22.0, -42.0, 42.0}
    again = _poses(80)
    assert all(np.array_equal(a.identity, b.identity) for (_, a), (_, b) in zip(poses, again, strict=True))
