from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from faces.mouth import (
    FACE_OVAL,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_EYE,
    RIGHT_IRIS,
    eye_aperture,
    inter_ocular_distance,
    mouth_opening,
)


def _landmarks(**expression: float) -> np.ndarray:
    model = MorphableModel.load()
    row = np.zeros((1, len(model.expression_names)))
    for name, amount in expression.items():
        row[0, model.expression_index(name)] = amount
    return model.landmark_points(model.vertices(model.mean, row))[0]


def test_openings_follow_jaw_and_lids() -> None:
    rest, opened, shut = _landmarks(), _landmarks(jawOpen=0.5), _landmarks(eyeBlinkLeft=1, eyeBlinkRight=1)
    assert mouth_opening(opened) > mouth_opening(rest) + 0.1
    assert eye_aperture(shut) < 0.4 * eye_aperture(rest)
    assert mouth_opening(shut) == pytest.approx(mouth_opening(rest), abs=0.02)


def test_openings_do_not_depend_on_size_place_or_roll() -> None:
    flat = _landmarks(jawOpen=0.3)[:, :2]
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    moved = 3.7 * flat @ turn.T + [100, -40]
    assert mouth_opening(moved) == pytest.approx(mouth_opening(flat), rel=1e-5)
    assert eye_aperture(moved) == pytest.approx(eye_aperture(flat), rel=1e-5)
    assert inter_ocular_distance(moved) == pytest.approx(3.7 * inter_ocular_distance(flat), rel=1e-5)
    many = np.stack([flat, moved])
    assert mouth_opening(many).shape == eye_aperture(many).shape == (2,)


@pytest.mark.parametrize("ring", [LIPS_OUTER, LIPS_INNER, RIGHT_EYE, LEFT_EYE, FACE_OVAL])
def test_rings_are_simple_polygons_in_order(ring: tuple[int, ...]) -> None:
    points = _landmarks(jawOpen=0.3)[list(ring), :2].astype(np.float64)
    assert len(set(ring)) == len(ring)
    angles = np.unwrap(np.arctan2(*(points - points.mean(0)).T[::-1]))
    assert abs(angles[-1] - angles[0]) == pytest.approx(2 * np.pi, abs=1.0)  # once round
    steps = np.sign(np.diff(angles))
    assert (steps == steps[0]).mean() > 0.9


def test_sides_and_nesting() -> None:
    points = _landmarks(jawOpen=0.3)
    assert points[list(RIGHT_EYE), 0].max() < 0 < points[list(LEFT_EYE), 0].min()
    assert points[list(RIGHT_IRIS), 0].max() < 0 < points[list(LEFT_IRIS), 0].min()
    low, high = points[list(LIPS_OUTER), :2].min(0), points[list(LIPS_OUTER), :2].max(0)
    inner = points[list(LIPS_INNER), :2]
    assert ((inner > low) & (inner < high)).all()
    assert set(LIPS_OUTER) | set(LIPS_INNER) < set(LIPS)
