from __future__ import annotations

import numpy as np
import pytest

from problems import InvalidParameter
from rendering.identity import VALUE_SIZE, appearance_value

DESCRIPTOR = np.arange(1, 129, dtype=np.float32)


def picture() -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    image[40:48, 24:40] = (255, 128, 0)
    return image


def test_value_is_descriptor_and_thumbnails() -> None:
    value = appearance_value(picture(), (24, 40, 40, 48), (10, 10, 50, 20), DESCRIPTOR)
    assert value.shape == (VALUE_SIZE,) == (368,)
    assert value.dtype == np.float32
    assert np.allclose(value[:128], DESCRIPTOR / np.linalg.norm(DESCRIPTOR))
    assert np.linalg.norm(value[128:]) == pytest.approx(1, abs=1e-5)
    mouth = value[128:320].reshape(8, 8, 3)
    assert (mouth[..., 0] > 0).all()  # red is full
    assert (mouth[..., 2] < 0).all()  # blue is absent
    assert (value[320:] < 0).all()  # the eyes are black


def test_boxes_are_cut_at_the_edge() -> None:
    inside = appearance_value(picture(), (0, 40, 40, 48), (0, 0, 8, 8), DESCRIPTOR)
    over = appearance_value(picture(), (-20.5, 40, 40, 48), (-5, -5, 8, 8), DESCRIPTOR)
    assert np.array_equal(inside, over)


def test_problems_name_the_cause() -> None:
    with pytest.raises(InvalidParameter, match="outside of the 64x64 crop"):
        appearance_value(picture(), (70, 0, 80, 8), (0, 0, 8, 8), DESCRIPTOR)
    with pytest.raises(InvalidParameter, match="shape"):
        appearance_value(picture(), (0, 0, 8, 8), (0, 0, 8, 8), DESCRIPTOR[:64])
