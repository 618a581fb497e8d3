from __future__ import annotations

import numpy as np

from faces.light import harmonics
from studio.lighting import invent_light, lamp


def test_a_lamp_lights_what_faces_it() -> None:
    towards = np.array([0.6, -0.64, -0.48])
    light = lamp(towards, np.array([1.0, 0.5, 0.25]))
    facing = harmonics(towards) @ light
    np.testing.assert_allclose(
        facing, np.array([1.0, 0.5, 0.25]) * 1.0625, rtol=1e-4
    )  # second order, not exact
    assert np.abs(harmonics(-towards) @ light).max() < 0.07
    sideways = np.array([0.8, 0.6, 0.2]) - np.dot([0.8, 0.6, 0.2], towards) * towards
    assert np.abs(harmonics(sideways / np.linalg.norm(sideways)) @ light).max() < 0.1


def test_rooms_are_lit_and_differ() -> None:
    normals = np.array([[0.0, 0.0, -1.0], [0.7, 0.0, -0.714], [-0.7, 0.0, -0.714]])
    seen = []
    for seed in range(8):
        light = invent_light(np.random.default_rng(seed), 5)
        assert light.harmonics.shape == (5, 9, 3)
        np.testing.assert_allclose(np.linalg.norm(light.towards, axis=1), 1, atol=1e-5)
        seen.append(harmonics(normals) @ light.harmonics[0])
    assert np.min(seen) > 0.02
    assert np.std(seen, axis=0).min() > 0.03
