from __future__ import annotations

import numpy as np

from studio.backdrop import invent_backdrop


def test_clothes_cover_the_neck_and_leave_the_face() -> None:
    drop = invent_backdrop(np.random.default_rng(1), (200, 240), (100.0, 90.0), 0.6)
    assert drop.wall.shape == (240, 200, 3)
    assert drop.cover[:140].max() == 0, "150 mm below the eyes begins the collar"
    assert drop.cover[-5:, 100].min() == 1
    assert drop.wall.min() >= 0
    assert drop.wall.max() <= 1


def test_clothes_move_and_the_wall_stays() -> None:
    drop = invent_backdrop(np.random.default_rng(1), (200, 240), (100.0, 90.0), 0.6)
    moved = drop.moved(0.0, 5.0)
    np.testing.assert_array_equal(moved.wall, drop.wall)
    np.testing.assert_allclose(moved.cover[100:], drop.cover[95:-5], atol=1e-5)
