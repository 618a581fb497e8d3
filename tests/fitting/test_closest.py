"""Closest points on triangles."""

from __future__ import annotations

import numpy as np

from fitting.closest import Surface, closest_weights, vertex_normals


def test_closest_points_match_a_dense_search() -> None:
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(200, 3, 3)), 2 * rng.normal(size=(200, 3))
    found = np.einsum("nk,nkd->nd", closest_weights(points, corners), corners)
    grid = np.linspace(0, 1, 60)
    shares = np.array([(1 - u - v, u, v) for u in grid for v in grid if u + v <= 1 + 1e-9])
    dense = np.einsum("sk,nkd->nsd", shares, corners)
    best = np.linalg.norm(dense - points[:, None], axis=-1).min(1)
    distance = np.linalg.norm(found - points, axis=1)
    assert (distance <= best + 1e-9).all()
    assert (best - distance).max() < 0.05


def test_of_two_sheets_the_one_facing_the_same_way_is_chosen() -> None:
    x, y = np.meshgrid(np.arange(11.0), np.arange(11.0))
    sheet = np.column_stack([x.ravel(), y.ravel(), np.zeros(121)])
    cell = np.array([r * 11 + c for r in range(10) for c in range(10)])
    up = np.concatenate([np.stack([cell, cell + 1, cell + 12], 1), np.stack([cell, cell + 12, cell + 11], 1)])
    vertices = np.concatenate([sheet, sheet - [0, 0, 0.5]])
    triangles = np.concatenate([up, up[:, ::-1] + 121])
    assert np.allclose(vertex_normals(vertices, triangles)[[0, 121], 2], [1.0, -1.0])
    surface = Surface(vertices, triangles)
    point = np.array([[5.3, 5.2, -0.4]])  # nearer to the lower sheet
    for normal, sheet_z in (((0, 0, 1.0), 0.0), ((0, 0, -1.0), -0.5)):
        triangle, weights, _ = surface.look_up(point, np.array([normal]))
        assert abs(surface.at(triangle[:, 0], weights[:, 0], vertices)[0, 2] - sheet_z) < 1e-9
