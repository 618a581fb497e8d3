"""The landmarks of the shipped head that lie on lid margins, on the line between the lips and on the irises."""

from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from faces.mouth import LEFT_EYE, LEFT_IRIS, LIPS_INNER, RIGHT_EYE, RIGHT_IRIS, eye_aperture, mouth_opening
from studio.head_landmarks import _mirror_pairs
from studio.head_parts import IRIS_RADIUS


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def landmarks(model: MorphableModel, **amounts: float) -> np.ndarray:
    row = np.zeros((1, len(model.expression_names)))
    for name, amount in amounts.items():
        row[0, model.expression_index(name)] = amount
    return model.landmark_points(model.vertices(model.mean, row)[0]).astype(np.float64)


def test_lids_meet_at_a_whole_blink(model: MorphableModel) -> None:
    opening = [float(eye_aperture(landmarks(model, eyeBlinkLeft=a, eyeBlinkRight=a))) for a in (0, 0.5, 1)]
    assert opening[0] > 0.08
    assert opening[1] == pytest.approx(opening[0] / 2, rel=0.15)
    assert opening[2] < 0.01


def test_inner_lips_meet_at_rest_and_part_with_the_jaw(model: MorphableModel) -> None:
    assert mouth_opening(landmarks(model)) < 0.01
    assert mouth_opening(landmarks(model, jawOpen=0.3)) > 0.08
    rest = landmarks(model)
    for upper, lower in zip(LIPS_INNER[1:10], LIPS_INNER[:10:-1], strict=True):
        assert np.linalg.norm(rest[upper] - rest[lower]) < 2.0, (upper, lower)


def test_irises_are_where_the_eye_is_painted(model: MorphableModel) -> None:
    points = landmarks(model)
    for iris, eye in ((RIGHT_IRIS, model.eye_centres[0]), (LEFT_IRIS, model.eye_centres[1])):
        assert np.linalg.norm((points[iris[0]] - eye)[:2]) < 0.2
        rim = np.linalg.norm((points[list(iris[1:])] - eye)[:, :2], axis=1)
        np.testing.assert_allclose(rim, IRIS_RADIUS, atol=0.15)


def test_embeddings_are_mirror_images(model: MorphableModel) -> None:
    points = landmarks(model)
    pairs = _mirror_pairs(points * [1, -1, -1])
    away = np.linalg.norm(points * [-1, 1, 1] - points[pairs], axis=1)
    assert away.max() < 0.5
    assert [pairs[n] for n in RIGHT_EYE] == list(LEFT_EYE)
