from __future__ import annotations

import numpy as np

from evaluation.regions import Box, box_around, face_box, hull_mask, mouth_box, visible
from faces.mouth import LIPS


def test_a_box_grows_by_its_share_on_each_side_and_stays_inside_the_picture() -> None:
    points = np.array([[100.0, 50.0], [200.0, 90.0]])
    assert box_around(points, 0.15, (480, 640)) == Box(left=85, top=44, right=215, bottom=96)
    assert box_around(points, 0.15, (60, 150)) == Box(left=85, top=44, right=150, bottom=60)
    assert box_around(points + 1000, 0.15, (60, 150)).empty


def test_the_mouth_box_holds_the_lips_only_and_the_face_box_everything() -> None:
    points = np.full((478, 2), 50.0)
    points[0] = [10, 10]  # landmark 0 is the upper lip's middle
    points[1] = [190, 190]  # landmark 1 is the nose tip
    assert 0 in LIPS
    assert 1 not in LIPS
    assert mouth_box(points, (200, 200)) == Box(left=0, top=0, right=62, bottom=62)
    assert face_box(points, (200, 200)) == Box(left=0, top=0, right=200, bottom=200)


def test_the_hull_is_the_convex_hull() -> None:
    points = np.full((478, 2), 20.0)
    points[:3] = [[10, 10], [30, 10], [10, 30]]
    mask = hull_mask(points, (40, 40))
    assert mask[12, 12]
    assert mask[20, 20]
    assert not mask[28, 28]
    assert not mask[5, 5]
    assert 200 <= mask.sum() <= 240  # a right triangle with legs of 20 pixels, its border included


def test_a_frame_with_one_missing_landmark_has_no_face() -> None:
    track = np.zeros((3, 478, 2))
    track[1, 5, 0] = np.nan
    assert visible(track).tolist() == [True, False, True]
