from __future__ import annotations

import numpy as np
import pytest

from faces.raster import Backend, rasterize

BACKENDS: list[Backend] = ["numba", "torch"]


def _random_mesh(seed: int, triangles: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping triangles, some degenerate, some sharing a plane, some behind the camera."""
    rng = np.random.default_rng(seed)
    vertices = np.column_stack([rng.uniform(-20, 84, (90, 2)), rng.uniform(200, 900, 90)])
    vertices[:12, 2] = 400.0  # these triangles tie in depth
    vertices[12:14, 2] = -5.0
    faces = rng.integers(0, 90, (triangles, 3)).astype(np.int32)
    faces[:10] = rng.integers(0, 12, (10, 3))
    return vertices, faces


@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_numba_equals_the_reference(seed: int, cull: bool) -> None:
    vertices, faces = _random_mesh(seed)
    fast = rasterize(vertices, faces, (60, 64), cull_backfaces=cull, backend="numba")
    slow = rasterize(vertices, faces, (60, 64), cull_backfaces=cull, backend="torch")
    assert fast.triangle.shape == slow.triangle.shape == (60, 64)
    assert (fast.triangle >= 0).mean() > 0.3
    same = fast.triangle == slow.triangle
    # Where triangles lie in one plane, rounding decides which is nearer.
    assert same[~_tied(vertices, faces, fast.triangle, slow.triangle)].mean() >= 0.999
    assert same.mean() > 0.9
    np.testing.assert_allclose(fast.barycentric[same], slow.barycentric[same], atol=1e-5)


def _tied(vertices: np.ndarray, faces: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    flat = (vertices[faces][..., 2] == 400.0).all(1)
    return (one >= 0) & (other >= 0) & flat[one] & flat[other]


@pytest.mark.parametrize("backend", BACKENDS)
def test_attributes_are_perspective_correct(backend: Backend) -> None:
    focal, centre = 80.0, 32.0
    corners = np.array(
        [[-60.0, -60.0, 150.0], [70.0, -50.0, 150.0], [0.0, 260.0, 600.0]]
    )  # a floor that recedes
    pixels = np.column_stack([corners[:, :2] / corners[:, 2:] * focal + centre, corners[:, 2]])
    triangles = np.array([[0, 1, 2]], np.int32)
    fragments = rasterize(pixels, triangles, (64, 64), backend=backend)
    rows, columns = np.nonzero(fragments.triangle == 0)
    assert len(rows) > 100
    # Analytic: where the ray through the pixel's centre meets the plane.
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    rays = np.column_stack(
        [(columns + 0.5 - centre) / focal, (rows + 0.5 - centre) / focal, np.ones(len(rows))]
    )
    expected = rays * (normal @ corners[0] / (rays @ normal))[:, None]
    found = fragments.interpolate(corners, triangles)[rows, columns]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(fragments.barycentric[rows, columns].sum(1), 1.0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels_are_sampled_at_their_centres(backend: Backend) -> None:
    square = np.array([[2.4, 1.4, 10.0], [5.6, 1.4, 10.0], [5.6, 3.6, 10.0], [2.4, 3.6, 10.0]])
    fragments = rasterize(square, np.array([[0, 1, 2], [0, 2, 3]]), (6, 8), backend=backend)
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True  # centres 1.5..3.5 and 2.5..5.5
    np.testing.assert_array_equal(fragments.triangle >= 0, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearer_triangle_wins_in_either_order(backend: Backend) -> None:
    vertices = np.array(
        [[0, 0, 300.0], [20, 0, 300], [0, 20, 300], [0, 0, 200.0], [20, 0, 200], [0, 20, 200]]
    )
    near, far = [3, 4, 5], [0, 1, 2]
    for order, winner in (([far, near], 1), ([near, far], 0)):
        triangle = rasterize(vertices, np.array(order), (20, 20), backend=backend).triangle
        assert set(np.unique(triangle)) == {-1, winner}


@pytest.mark.parametrize("backend", BACKENDS)
def test_culling_drops_what_faces_away(backend: Backend) -> None:
    # Counter-clockwise with y up is clockwise in the picture, whose y points down.
    vertices = np.array([[2, 2, 100.0], [2, 18, 100], [18, 2, 100]])
    towards, away = np.array([[0, 1, 2]]), np.array([[0, 2, 1]])
    covered = [
        (rasterize(vertices, faces, (20, 20), cull_backfaces=cull, backend=backend).triangle >= 0).any()
        for faces in (towards, away)
        for cull in (False, True)
    ]
    assert covered == [True, True, True, False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_draw(backend: Backend) -> None:
    outside = np.array([[-50, -50, 100.0], [-40, -50, 100], [-50, -40, 100]])
    behind = np.array([[0, 0, -100.0], [20, 0, 100], [0, 20, 100]])
    flat = np.array([[0, 0, 100.0], [10, 10, 100], [20, 20, 100]])
    one = np.array([[0, 1, 2]])
    for vertices, faces in ((outside, one), (behind, one), (flat, one), (outside, np.zeros((0, 3), int))):
        fragments = rasterize(vertices, faces, (20, 24), backend=backend)
        assert (fragments.triangle == -1).all()
        assert fragments.triangle.shape == (20, 24)
        assert not fragments.barycentric.any()
        assert not fragments.interpolate(np.ones((3, 2)), faces).any()


def test_values_at_vertices_equal_the_same_values_at_corners() -> None:
    vertices, faces = _random_mesh(1)
    values = np.random.default_rng(2).normal(size=(90, 4))
    fragments = rasterize(vertices, faces, (60, 64))
    by_vertex, by_corner = (fragments.interpolate(v, faces) for v in (values, values[faces]))
    assert by_vertex.shape == (60, 64, 4)
    np.testing.assert_allclose(by_vertex, by_corner, atol=1e-6)
    assert not by_vertex[fragments.triangle < 0].any()
