"""Frames at other sizes."""

from __future__ import annotations

import numpy as np
import pytest

from media.scale import scaled
from tests.media.generated import quadrants


@pytest.mark.parametrize("size", [(48, 32), (192, 128), (96, 64)])
def test_a_picture_keeps_its_quarters(size: tuple[int, int]) -> None:
    width, height = size
    [image] = scaled([quadrants(96, 64)], width, height)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    expected = quadrants(width, height).astype(int)
    away = np.ones((height, width), bool)  # from the seams between the quarters
    away[height // 2 - 3 : height // 2 + 3] = False
    away[:, width // 2 - 3 : width // 2 + 3] = False
    assert np.abs(image[away] - expected[away]).max() <= 3


@pytest.mark.parametrize("size", [(48, 32), (192, 128)])
def test_what_is_seen_through_lends_no_colour(size: tuple[int, int]) -> None:
    """A red disc's half on nothing (which is black): its rim must be red that fades, not dark."""
    image = np.zeros((64, 96, 4), np.uint8)
    image[:, 40:] = (240, 40, 20, 255)
    [small] = scaled([image], *size)
    assert small.shape[2] == 4
    seen = small[..., 3] > 20
    assert np.abs(small[seen][:, :3].astype(int) - (240, 40, 20)).max() <= 3
    assert small[:, :8, 3].max() == 0
    assert small[:, -8:, 3].min() == 255
