from __future__ import annotations

import numpy as np
import pytest

from studio.head_parts import IRIS_RADIUS, PUPIL_RADIUS, dental_arch, eyeball


def triangles_of(faces: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(
        [t for f in faces for t in ([f] if len(f) == 3 else [(f[0], f[1], f[2]), (f[0], f[2], f[3])])]
    )


def test_an_eyeball_is_a_closed_sphere_that_faces_outwards() -> None:
    points, faces, _ = eyeball(15.0, 0.9)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 15.0)
    corners = points[triangles_of(faces)]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normal * corners.mean(1)).sum(1) > 0).all()
    volume = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.12)  # coarse behind
    np.testing.assert_allclose((points.max(0) + points.min(0)) / 2, 0, atol=1e-9)  # what gaze turns about


@pytest.mark.parametrize(("radius", "scale"), [(15.0, 0.9), (12.0, 1.0)])
def test_iris_and_pupil_end_sharply_at_their_radius(radius: float, scale: float) -> None:
    points, _, albedo = eyeball(radius, scale)
    front = points[:, 2] > 0
    away = np.hypot(points[:, 0], points[:, 1]) * scale
    brightness = albedo.mean(1)
    assert brightness[front & (away < PUPIL_RADIUS)].max() < 0.05
    assert brightness[front & (away > IRIS_RADIUS)].min() > 0.6
    ring = front & (away > PUPIL_RADIUS) & (away < IRIS_RADIUS)
    assert 0.04 < brightness[ring].min() < brightness[ring].max() < 0.4
    assert away[front & (away > IRIS_RADIUS)].min() - away[ring].max() < 0.5


@pytest.mark.parametrize("jaw", ["upper", "lower"])
def test_an_arch_has_twelve_teeth_with_dark_gaps(jaw: str) -> None:
    points, faces, albedo = dental_arch(jaw, np.array([0.0, -70.0, 90.0]), 27.0, 44.0)
    mirrored = points * [-1, 1, 1]
    assert np.linalg.norm(mirrored[:, None] - points[None], axis=-1).min(1).max() < 1e-9
    assert np.abs(points[:, 0]).max() < 29
    assert points[:, 2].max() < 92
    rise = (points[:, 1] + 70.0) * (1 if jaw == "upper" else -1)
    assert rise.min() == pytest.approx(0.0, abs=1e-6)
    assert 8 < rise.max() < 16
    across = albedo.reshape(-1, 7, 3)[:, 3].mean(1)  # a line across the crowns
    bright = across > 0.45 * across.max()
    assert (bright[1:] & ~bright[:-1]).sum() in (11, 12)
    assert across.max() > 3 * across.min()
    corners = points[triangles_of(faces)]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    front = (corners.mean(1)[:, 2] > 85) & (albedo[triangles_of(faces)].mean((1, 2)) > 0.5)
    assert (normal[front, 2] > 0).mean() > 0.7
