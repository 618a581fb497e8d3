"""The compiled passes over the picture give what OpenCV and NumPy give in many."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faces.raster import Fragments, rasterize
from rendering.shading import Surface, face_weight, facing

SIZE = 48
TRIANGLES = np.array([[0, 2, 1], [1, 2, 3]], np.int32)
VERTICES = np.array([[4.0, 5.0, 500.0], [44.0, 7.0, 620.0], [6.0, 43.0, 560.0], [40.0, 41.0, 480.0]])


@pytest.fixture
def fragments() -> Fragments:
    drawn = rasterize(VERTICES, TRIANGLES, (SIZE, SIZE))
    assert (drawn.triangle >= 0).mean() > 0.4
    return drawn


def _surface(*, change: bool = True, shade: bool = True) -> Surface:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), (0, 0), 1)
    uv = rng.uniform(-0.05, 1.05, (2, 3, 2)).astype(np.float32)  # a little over the border, too
    return Surface(
        TRIANGLES,
        uv,
        texture,
        rng.normal(0, 20, (24, 24, 3)).astype(np.float32) if change else None,
        rng.uniform(0.5, 1.5, (4, 3)).astype(np.float32) if shade else None,
    )


def _in_many_passes(surface: Surface, fragments: Fragments) -> NDArray[np.float32]:
    uv = fragments.interpolate(surface.uv, TRIANGLES)
    colour = np.zeros((*fragments.triangle.shape, 3), np.float32)
    for picture in (surface.texture.astype(np.float32), surface.change):
        if picture is not None:
            where = uv * len(picture) - 0.5
            colour += cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if surface.shade is not None:
        colour *= fragments.interpolate(surface.shade, TRIANGLES)
    colour[fragments.triangle < 0] = 0
    return colour


@pytest.mark.parametrize("change", [False, True])
@pytest.mark.parametrize("shade", [False, True])
def test_one_pass_gives_what_many_give(fragments: Fragments, change: bool, shade: bool) -> None:
    surface = _surface(change=change, shade=shade)
    # OpenCV rounds positions to a 32nd of a texel.
    np.testing.assert_allclose(surface.colour(fragments), _in_many_passes(surface, fragments), atol=4.0)
    apart = np.abs(surface.colour(fragments) - _in_many_passes(surface, fragments))
    assert apart.mean() < 0.4


def test_only_what_is_shown_is_coloured(fragments: Fragments) -> None:
    surface = _surface()
    shown = np.zeros((SIZE, SIZE), bool)
    shown[:, :20] = True
    part, whole = surface.colour(fragments, shown), surface.colour(fragments)
    np.testing.assert_array_equal(part[:, :20], whole[:, :20])
    assert not part[:, 20:].any()


def test_samples_are_averaged(fragments: Fragments) -> None:
    surface = _surface()
    whole = surface.colour(fragments)
    averaged = whole.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(surface.colour(fragments, samples=2), averaged, atol=1e-3)


def test_a_triangle_faces_the_camera_as_far_as_its_normal_points_there() -> None:
    for angle in np.radians([0, 30, 60, 89, 120]):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        corners = np.array([[-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [2.0, 0.0, 0.0]])
        placed = corners @ turn.T
        placed = placed - placed.mean(0) + [0.0, 0.0, 1000.0]
        cosine = facing(placed, np.array([[0, 1, 2]], np.int32))
        assert abs(abs(float(cosine[0])) - abs(np.cos(angle))) < 1e-4
        assert np.sign(cosine[0]) == np.sign(facing(placed[[0, 2, 1]], np.array([[0, 2, 1]], np.int32))[0])
        assert np.sign(cosine[0]) == -np.sign(facing(placed, np.array([[0, 2, 1]], np.int32))[0])


def test_the_weight_is_the_vertices_blend_times_the_triangles_glance(fragments: Fragments) -> None:
    blend, glance = np.array([0.0, 1.0, 0.5, 0.25], np.float32), np.array([0.5, 2.0], np.float32)
    weight, covered = face_weight(fragments.triangle, fragments.barycentric, TRIANGLES, blend, glance)
    known = fragments.interpolate(blend[:, None], TRIANGLES)[..., 0] * np.where(
        fragments.triangle >= 0, glance[fragments.triangle], 0
    )
    np.testing.assert_allclose(weight, known, atol=1e-6)
    np.testing.assert_array_equal(covered, fragments.triangle >= 0)
