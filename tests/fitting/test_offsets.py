from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import SKIN, MorphableModel
from faces.mouth import LIPS, RIGHT_EYE
from fitting.offsets import OffsetSpreader, SkinLaplacian


@pytest.fixture(scope="module")
def spread() -> OffsetSpreader:
    return OffsetSpreader(MorphableModel.load())


def test_one_shift_of_all_landmarks_moves_the_face_as_one(spread: OffsetSpreader) -> None:
    model = spread.model
    moved = spread(np.tile([1.0, -2.0, 0.5], (478, 1)))
    marks = model.landmark_points(model.mean)
    near = np.linalg.norm(model.mean[:, None] - marks[None, ::4], axis=-1).min(1) < 6
    error = np.abs(moved[near & (model.vertex_part == SKIN)] - [1.0, -2.0, 0.5]).max(1)
    assert np.median(error) < 0.1
    assert np.percentile(error, 90) < 0.5  # towards ears and neck the field is calmed


def test_landmarks_come_out_where_they_were_asked(spread: OffsetSpreader) -> None:
    wanted = np.zeros((478, 3))
    wanted[[4, 1, 5, 195], 2] = 2.0  # the nose grows
    got = spread.model.landmark_points(spread(wanted))
    assert got[4, 2] > 1.5
    assert np.abs(got[[61, 291, 33, 263]]).max() < 0.3


def test_eyeballs_and_teeth_move_rigidly_with_lids_and_lips(spread: OffsetSpreader) -> None:
    wanted = np.zeros((478, 3))
    wanted[list(RIGHT_EYE)] = [0.0, 1.0, 0.0]
    wanted[list(LIPS)] = [0.0, 0.0, -1.0]
    moved = spread(wanted)
    right, left = spread.model.eyeballs
    np.testing.assert_allclose(moved[right], [[0, 1, 0]] * len(right), atol=1e-9)
    assert not moved[left].any()
    inside = np.isin(spread.model.vertex_part, (2, 3))
    np.testing.assert_allclose(moved[inside], [[0, 0, -1]] * int(inside.sum()), atol=1e-9)


def test_bending_costs_and_shifting_does_not() -> None:
    skin = SkinLaplacian(MorphableModel.load())
    rng = np.random.default_rng(0)
    flat, rough = np.ones(len(skin.vertices)), rng.normal(0, 1, len(skin.vertices))
    assert flat @ skin.bending @ flat < 0.2 * (rough @ skin.bending @ rough)
