from __future__ import annotations

import numpy as np

from faces.morphable import MorphableModel
from faces.mouth import FACE_OVAL
from faces.ring import inside_ring, ring_distance


def test_distances_run_along_the_face_and_are_positive_inside() -> None:
    square = np.array([[x, y, 95.0] for x, y in ((-20, -20), (20, -20), (20, 20), (-20, 20))], float)
    distance = ring_distance(square, np.array([[0.0, 0.0, 95.0], [0.0, 15.0, 95.0], [0.0, 30.0, 95.0]]))
    np.testing.assert_allclose(distance[1:], [5.0, -10.0], atol=1e-3)
    assert 19.0 < distance[0] < 21.0


def test_the_back_of_the_head_is_never_inside() -> None:
    model = MorphableModel.load()
    marks = model.landmark_points(model.mean)
    oval = marks[list(FACE_OVAL)]
    assert inside_ring(oval, marks[[1, 13, 33, 263]]).all()
    assert not inside_ring(oval, marks[[1, 13, 33, 263]] * [1, 1, -1]).any()
