from __future__ import annotations

import numpy as np

from studio.occlusion import ambient_occlusion, lamp_visibility


def grid(height: float, half: float) -> tuple[np.ndarray, np.ndarray]:
    """A square of 11 x 11 vertices that faces +z."""
    side = np.linspace(-half, half, 11)
    x, y = np.meshgrid(side, side)
    vertices = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, height)])
    corner = (np.arange(10)[:, None] * 11 + np.arange(10)).ravel()
    triangles = np.concatenate(
        [
            np.column_stack([corner, corner + 1, corner + 12]),
            np.column_stack([corner, corner + 12, corner + 11]),
        ]
    )
    return vertices, triangles


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A wide floor, and a small roof 20 mm over its middle."""
    floor, low = grid(0.0, 100.0)
    roof, high = grid(20.0, 30.0)
    return np.concatenate([floor, roof]), np.concatenate([low, high + len(floor)])


def test_a_roof_shadows_the_floor_below_it() -> None:
    vertices, triangles = scene()
    above = lamp_visibility(vertices, triangles, np.array([0.0, 0.0, 1.0]))
    slanted = lamp_visibility(vertices, triangles, np.array([0.7071, 0.0, 0.7071]))
    centre, aside = 60, 60 - 2  # in the middle, and 40 mm to -x
    assert above[centre] == 0
    assert above[aside] == 1
    assert above[121:].min() == 1, "the roof itself is lit"
    assert slanted[aside] < 1 < slanted[aside] + slanted[centre] + 1e-3 + 1


def test_under_a_roof_is_little_sky() -> None:
    vertices, triangles = scene()
    sky = ambient_occlusion(vertices, triangles, 64)
    assert sky[60] < 0.6
    assert sky[0] > 0.9
    assert sky[121:].min() > 0.85
