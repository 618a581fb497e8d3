from __future__ import annotations

import numpy as np
import pytest

from faces.light import NEUTRAL, harmonics, shading, vertex_normals, vertex_shading
from faces.morphable import EYES, SKIN, MorphableModel
from tests.generated_clip import choreography, placed, true_track


def _sphere(count: int = 20000) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_harmonics_are_orthogonal_on_the_sphere() -> None:
    basis = harmonics(_sphere()).astype(np.float64)
    product = basis.T @ basis / len(basis)
    scale = np.sqrt(np.diag(product))
    np.testing.assert_allclose(product / np.outer(scale, scale), np.eye(9), atol=0.03)


def test_neutral_light_changes_nothing_and_light_is_never_negative() -> None:
    normals = _sphere(50)
    np.testing.assert_allclose(shading(normals, NEUTRAL), 1.0)
    harsh = NEUTRAL.copy()
    harsh[3] = -2.0
    assert shading(normals, harsh).min() == pytest.approx(0.1)


def test_a_lambert_lamp_is_nearly_nine_harmonics() -> None:
    """Ramamoorthi and Hanrahan: the second order holds 99 % of the energy of any matte shading."""
    normals, lamp = _sphere(), np.array([0.3, -0.5, -0.81])
    wanted = np.clip(normals @ lamp, 0, None)
    basis = harmonics(normals).astype(np.float64)
    solution = np.linalg.lstsq(basis, wanted, rcond=None)[0]
    assert ((basis @ solution - wanted) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum() < 0.02


def test_normals_of_a_ball_point_outwards() -> None:
    model = MorphableModel.load()
    ball = model.eyeballs[0]
    normals = vertex_normals(model.mean, model.triangles)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-3)
    outwards = model.mean[ball] - (model.mean[ball].min(0) + model.mean[ball].max(0)) / 2
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert np.median((normals[ball] * outwards).sum(1)) > 0.95


def test_light_stays_in_the_room_when_the_head_turns() -> None:
    """A lamp at the image's left lights the cheek that is there, whichever cheek it is."""
    model = MorphableModel.load()
    track = true_track(choreography(40, model))
    light = NEUTRAL.copy()
    light[1] = -0.6
    for frame in (0, 10):
        vertices = placed(track, frame)
        factors = vertex_shading(model, vertices, light)
        normals = vertex_normals(vertices, model.triangles)
        skin = model.vertex_part == SKIN
        left, right = skin & (normals[:, 0] < -0.5), skin & (normals[:, 0] > 0.5)
        assert factors[left].min() > factors[right].max()
        assert np.ptp(factors[model.vertex_part == EYES], axis=0).max() == 0
