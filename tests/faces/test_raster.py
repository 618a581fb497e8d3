"""The contract of the rasteriser: every backend that is installed passes all of it."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from faces.raster import Backend, available_backends, rasterize
from problems import InvalidParameter

BACKENDS = available_backends()


def random_mesh(seed: int, triangles: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping triangles, some degenerate, some sharing a plane, some behind the camera."""
    rng = np.random.default_rng(seed)
    vertices = np.column_stack([rng.uniform(-20, 84, (90, 2)), rng.uniform(200, 900, 90)])
    vertices[:12, 2] = 400.0  # these triangles tie in depth
    vertices[12:14, 2] = -5.0
    faces = rng.integers(0, 90, (triangles, 3)).astype(np.int32)
    faces[:10] = rng.integers(0, 12, (10, 3))
    return vertices, faces


def head_in(size: int, turn: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """The shipped head, turned, filling most of a picture of ``size``."""
    model = MorphableModel.load()
    camera = Camera(2.2 * size, size / 2, size / 2, size, size)
    placed = to_camera(model.mean.astype(np.float64), np.array([0.1, turn, 0.05]), np.array([0, 10, 560.0]))
    return np.column_stack([camera.project(placed), placed[:, 2]]), model.triangles


def _every_pair(
    vertices: np.ndarray, faces: np.ndarray, size: tuple[int, int], cull: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The definition, spelt out: every pixel's ray against the plane and the sides of every triangle."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    depth, triangle = np.full(size, np.inf), np.full(size, -1)
    weights = np.zeros((height, width, 3))
    for t, (a, b, c) in enumerate(vertices[faces]):
        flat = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1.0, 1.0, 1.0]])
        towards = np.linalg.det(flat) < 0
        if min(a[2], b[2], c[2]) <= 0 or abs(np.linalg.det(flat)) < 1e-9 or (cull and not towards):
            continue
        inside = np.einsum("ij,jhw->ihw", np.linalg.inv(flat), np.stack([x, y, np.ones_like(x)]))
        share = inside / np.array([a[2], b[2], c[2]])[:, None, None]
        z = 1.0 / share.sum(0)
        hit = (inside > 0).all(0) & (z < depth)
        depth[hit], triangle[hit] = z[hit], t
        weights[hit] = (share * z)[:, hit].T
    return triangle, weights


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_definition_spelt_out(seed: int, cull: bool, backend: Backend) -> None:
    vertices, faces = random_mesh(seed)
    for size in ((60, 64), (64, 40), (33, 80)):
        expected, weights = _every_pair(vertices, faces, size, cull)
        found = rasterize(vertices, faces, size, cull_backfaces=cull, backend=backend)
        assert found.triangle.shape == size
        assert (found.triangle >= 0).mean() > 0.2
        same = found.triangle == expected
        # Where triangles lie in one plane, rounding decides which is nearer.
        assert same[~_tied(vertices, faces, expected, found.triangle)].mean() >= 0.999
        assert same.mean() > 0.9
        np.testing.assert_allclose(found.barycentric[same], weights[same], atol=2e-4)


def _tied(vertices: np.ndarray, faces: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    flat = (vertices[faces][..., 2] == 400.0).all(1)
    return (one >= 0) & (other >= 0) & flat[one] & flat[other]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numba"])
@pytest.mark.parametrize("cull", [False, True])
def test_backends_agree_on_a_head(backend: Backend, cull: bool) -> None:
    vertices, faces = head_in(256)
    one = rasterize(vertices, faces, (256, 240), cull_backfaces=cull)
    other = rasterize(vertices, faces, (256, 240), cull_backfaces=cull, backend=backend)
    covered = one.triangle >= 0
    assert covered.mean() > 0.4
    same = one.triangle == other.triangle
    assert same.mean() >= 0.999
    assert same[covered].mean() >= 0.999
    # A weight of a triangle smaller than a pixel has few digits in pytorch3d's float32.
    error = np.abs(one.barycentric - other.barycentric)[same].max(-1)
    assert np.percentile(error, 99.9) < 1e-3
    if backend == "torch":
        assert same.all()
        assert error.max() < 1e-6


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
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)
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
    vertices, faces = random_mesh(1)
    values = np.random.default_rng(2).normal(size=(90, 4))
    fragments = rasterize(vertices, faces, (60, 64))
    by_vertex, by_corner = (fragments.interpolate(v, faces) for v in (values, values[faces]))
    assert by_vertex.shape == (60, 64, 4)
    np.testing.assert_allclose(by_vertex, by_corner, atol=1e-6)
    assert not by_vertex[fragments.triangle < 0].any()


@st.composite
def _sheets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A sheet of triangles, some turned over, that covers a 12 x 12 picture exactly once; corners anywhere inside."""
    cells, size = 4, 12.0
    grid = np.arange(cells + 1) * size / cells
    y, x = (n.copy() for n in np.meshgrid(grid, grid, indexing="ij"))
    # Quarters put corners and sides exactly on pixel centres; the others test the rounding.
    quarters = st.integers(-3, 3).map(lambda n: n / 4)
    inner = (cells - 1) ** 2
    moves = draw(st.lists(st.one_of(quarters, st.floats(-0.7, 0.7)), min_size=2 * inner, max_size=2 * inner))
    shift = np.array(moves).reshape(2, cells - 1, cells - 1)
    x[1:-1, 1:-1] += shift[0]
    y[1:-1, 1:-1] += shift[1]
    depth = draw(st.lists(st.floats(100, 900), min_size=x.size, max_size=x.size))
    faces = []
    for row in range(cells):
        for column in range(cells):
            a = row * (cells + 1) + column
            b, c, d = a + 1, a + cells + 2, a + cells + 1
            faces += [[a, b, c], [a, c, d]] if draw(st.booleans()) else [[a, b, d], [b, c, d]]
    order = draw(st.lists(st.sampled_from([(0, 1, 2), (2, 1, 0)]), min_size=len(faces), max_size=len(faces)))
    faces = [[face[n] for n in turned] for face, turned in zip(faces, order, strict=True)]
    return np.column_stack([x.ravel(), y.ravel(), depth]), np.array(faces, np.int32)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "pytorch3d"])
@settings(max_examples=40, deadline=None)
@given(sheet=_sheets())
def test_shared_edges_leave_no_hole_and_no_double_hit(
    backend: Backend, sheet: tuple[np.ndarray, np.ndarray]
) -> None:
    vertices, faces = sheet
    alone = [rasterize(vertices, face[None], (12, 12), backend=backend).triangle == 0 for face in faces]
    np.testing.assert_array_equal(np.sum(alone, axis=0), 1)
    together = rasterize(vertices, faces, (12, 12), backend=backend)
    np.testing.assert_array_equal(together.triangle, np.argmax(alone, axis=0))
    np.testing.assert_allclose(together.barycentric.sum(-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "pytorch3d"])
def test_numbers_that_are_none_draw_nothing(backend: Backend) -> None:
    good = np.array([[2, 2, 100.0], [2, 18, 100], [18, 2, 100]])
    alone = rasterize(good, np.array([[0, 1, 2]]), (20, 20), backend=backend).triangle
    for bad in (np.nan, np.inf, -np.inf):
        for axis in range(3):
            vertices = np.concatenate([good, good + 1])
            vertices[4, axis] = bad
            if axis == 2 and bad == np.inf:
                continue  # a vertex at infinite depth is a picture of its own
            both = rasterize(vertices, np.array([[0, 1, 2], [3, 4, 5]]), (20, 20), backend=backend)
            np.testing.assert_array_equal(both.triangle, alone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_far_outside_is_cut_not_counted(backend: Backend) -> None:
    huge = np.array([[-5e4, -4e4, 100.0], [-3e4, 6e4, 100], [7e4, 1e4, 100]])
    assert (rasterize(huge, np.array([[0, 1, 2]]), (20, 30), backend=backend).triangle == 0).all()


def test_the_backends_that_are_installed() -> None:
    assert set(BACKENDS) <= set(get_args(Backend))
    assert {"numba", "torch"} <= set(BACKENDS)


@pytest.mark.parametrize("name", [n for n in get_args(Backend) if n not in BACKENDS] + ["opengl"])
def test_a_backend_that_is_not_there_is_named(name: Any) -> None:
    vertices, faces = random_mesh(0)
    with pytest.raises(InvalidParameter, match=name) as caught:
        rasterize(vertices, faces, (20, 20), backend=name)
    assert "numba" in caught.value.remedy
