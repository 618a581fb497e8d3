from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from studio.head_refine import affine_rows, split_quads, triangulate


def grid(side: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric grid of (side, side) vertices and its quads."""
    x, y = np.meshgrid(np.arange(side) - side // 2, np.arange(side) - side // 2)
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(side * side)]).astype(float)
    at = np.arange(side * side).reshape(side, side)
    corners = (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1])
    return points, np.stack([c.ravel() for c in corners], axis=1)


@pytest.mark.parametrize("chosen", [[14], [14, 15], [14, 21], [14, 16], [7, 14, 21, 15], list(range(36))])
def test_split_quads_leave_no_gap(chosen: list[int]) -> None:
    points, quads = grid()
    mask = np.isin(np.arange(len(quads)), chosen)
    refined = split_quads(quads, np.zeros(len(quads), int), mask, len(points))
    fine = refined.matrix(len(points)) @ points
    triangles, _ = triangulate(refined, fine)
    edges = Counter(
        tuple(sorted((int(a), int(b)))) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)
    )
    assert set(edges.values()) <= {1, 2}
    border = [e for e, n in edges.items() if n == 1]
    # An edge with one triangle lies on the grid's border: nowhere inside does a vertex sit on another's edge.
    assert all(
        np.abs((fine[list(e)])[:, axis]).min() == 3
        for e in border
        for axis in [int(np.argmax(np.abs(fine[list(e)]).min(0)))]
    )
    corners = fine[triangles]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    assert area.min() > 0
    assert area.sum() == pytest.approx(36)


def test_new_points_follow_the_curvature() -> None:
    points, quads = grid(9)
    points[:, 2] = 0.1 * points[:, 0] ** 2
    refined = split_quads(quads, np.zeros(len(quads), int), np.ones(len(quads), bool), len(points))
    weights = refined.matrix(len(points))
    np.testing.assert_allclose(np.asarray(weights.sum(1)).ravel(), 1)
    fine = weights @ points
    inside = (np.abs(fine[:, :2]) <= 2.5).all(1)
    np.testing.assert_allclose(fine[inside, 2], 0.1 * fine[inside, 0] ** 2, atol=1e-9)  # midpoints: .025 off
    np.testing.assert_allclose(fine[: len(points)], points)


def test_a_split_mesh_is_as_symmetric_as_before() -> None:
    points, quads = grid()
    middle = points[quads].mean(1)
    chosen = (np.abs(middle[:, 0]) > 1) & (middle[:, 1] > 0)
    points[:, 2] = 0.2 * points[:, 0] ** 2 + 0.05 * points[:, 1] ** 3
    refined = split_quads(quads, np.zeros(len(quads), int), chosen, len(points))
    fine = refined.matrix(len(points)) @ points
    triangles, _ = triangulate(refined, fine)
    shapes = {tuple(sorted(map(tuple, fine[t].round(6).tolist()))) for t in triangles}
    mirrored = {tuple(sorted(map(tuple, (fine[t] * [-1, 1, 1] + 0.0).round(6).tolist()))) for t in triangles}
    assert shapes == mirrored


def test_affine_rows_carry_an_affine_motion_exactly() -> None:
    rng = np.random.default_rng(0)
    anchors, points = rng.normal(size=(12, 3)), rng.normal(size=(5, 3))
    turn, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    rows = affine_rows(points, anchors, np.arange(12))
    weights = np.array([[row[n] for n in range(12)] for row in rows])
    np.testing.assert_allclose(weights @ (anchors @ turn + shift), points @ turn + shift, atol=1e-9)
