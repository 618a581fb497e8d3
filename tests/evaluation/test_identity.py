from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.identity import describe_frames, identity_distance


def test_identity_distance_is_the_mean_distance_to_the_enrolled_mean() -> None:
    enrolled = np.array([1.0, 0.0, 0.0])
    others = np.array([[1.0, 0.3, 0.4], [1.0, 0.0, 0.0]])
    assert identity_distance(others, enrolled) == pytest.approx(0.25)
    assert math.isnan(identity_distance(np.zeros((0, 0)), enrolled))
    assert math.isnan(identity_distance(others, np.full(1, np.nan)))


def test_every_fifth_frame_with_a_face_is_described() -> None:
    frames = [np.full((4, 4, 3), index, np.uint8) for index in range(21)]
    landmarks = np.zeros((21, 478, 2))
    landmarks[:, 0, 0] = np.arange(21)
    landmarks[10] = np.nan

    def describe(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        assert image[0, 0, 0] == points[0, 0]  # the picture and its own landmarks
        return np.array([image[0, 0, 0], 1.0])

    assert describe_frames(frames, landmarks, describe)[:, 0].tolist() == [0, 5, 15, 20]
    assert describe_frames(frames, landmarks * np.nan, describe).shape == (0, 0)
