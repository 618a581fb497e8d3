from __future__ import annotations

import cv2
import numpy as np
import pytest

from faces.identity import CHIP_SIZE, FaceDescriptor, identity_distance
from problems import InvalidParameter


def drawn_face(
    skin: tuple[int, int, int], *, wide: int = 90, scale: float = 1.0, turn: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A cartoon (RGB) and the landmarks that alignment needs, at any size and rotation."""
    image = np.full((400, 400, 3), 200, np.uint8)
    cv2.ellipse(image, (200, 200), (wide, 130), 0, 0, 360, skin, -1)
    for x in (165, 235):
        cv2.ellipse(image, (x, 175), (18, 8), 0, 0, 360, (250, 250, 250), -1)
        cv2.circle(image, (x, 175), 7, (40, 30, 20), -1)
    cv2.line(image, (200, 180), (200, 225), (80, 40, 30), 4)
    cv2.ellipse(image, (200, 270), (30, 9), 0, 0, 360, (150, 40, 50), -1)
    landmarks = np.full((478, 2), 200.0)
    landmarks[[263, 362, 33, 133, 2]] = [(253, 175), (217, 175), (147, 175), (183, 175), (200, 230)]
    matrix = cv2.getRotationMatrix2D((200, 200), turn, scale)
    return cv2.warpAffine(image, matrix, (400, 400)), landmarks @ matrix[:, :2].T + matrix[:, 2]


@pytest.fixture(scope="module")
def descriptor() -> FaceDescriptor:
    return FaceDescriptor()


def test_alignment_undoes_size_and_rotation(descriptor: FaceDescriptor) -> None:
    upright = descriptor.chip(*drawn_face((220, 170, 140)))
    turned = descriptor.chip(*drawn_face((220, 170, 140), scale=0.7, turn=20))
    assert upright.shape == (CHIP_SIZE, CHIP_SIZE, 3)
    centre = slice(30, 120)
    difference = np.abs(upright[centre, centre].astype(float) - turned[centre, centre]).mean()
    assert difference < 8
    # The eyes are where dlib's mean face has them: in the upper half, at equal heights.
    dark = upright[40:80].sum(2) < 200
    assert dark[:, :75].any()
    assert dark[:, 75:].any()


def test_descriptor_tells_the_same_from_another(descriptor: FaceDescriptor) -> None:
    one = descriptor.describe(*drawn_face((220, 170, 140)))
    same = descriptor.describe(*drawn_face((220, 170, 140), scale=0.8, turn=10))
    other = descriptor.describe(*drawn_face((110, 70, 50), wide=120))
    assert one.shape == (128,)
    assert one.dtype == np.float32
    assert identity_distance(one, same) < identity_distance(one, other)
    assert identity_distance(one[None], np.stack([one, other])).shape == (2,)


def test_missing_landmarks_are_named(descriptor: FaceDescriptor) -> None:
    image, landmarks = drawn_face((220, 170, 140))
    landmarks[33] = np.nan
    with pytest.raises(InvalidParameter, match="no face landmarks"):
        descriptor.describe(image, landmarks)
    with pytest.raises(InvalidParameter, match="can't be described"):
        descriptor.describe(image[..., 0], landmarks)
