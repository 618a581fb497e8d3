"""How much of the surroundings, and of one lamp, each vertex of a mesh sees: depth maps from many directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.light import vertex_normals
from faces.raster import rasterize

Floats = NDArray[np.floating]

_FAR = 1e5  # so far away that perspective-correct interpolation is linear


def lamp_visibility(
    vertices: Floats, triangles: NDArray[Any], towards: Floats, *, texels: int = 192, slack_mm: float = 2.5
) -> NDArray[np.float32]:
    """(V,) share 0..1 of a far lamp that each vertex sees past the mesh, soft over some texels.

    Args:
        vertices: (V, 3) millimetres, any axes.
        triangles: (F, 3) vertex indices.
        towards: (3,) direction to the lamp in the same axes.
        texels: side of the depth map.
        slack_mm: a vertex this far behind the nearest surface still counts as seen.
    """
    ahead = np.asarray(towards, np.float64) / np.linalg.norm(towards)
    side = np.cross(ahead, [0.0, 1.0, 0.0] if abs(ahead[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    seen = vertices @ np.column_stack([side, np.cross(ahead, side), -ahead])  # (V, 3), last is depth
    low, high = seen.min(0), seen.max(0)
    scale = (texels - 8) / float((high - low)[:2].max())
    place = (seen[:, :2] - low[:2]) * scale + 4
    fragments = rasterize(np.column_stack([place, seen[:, 2] - low[2] + _FAR]), triangles, (texels, texels))
    depth = fragments.interpolate(seen[:, 2:3], triangles)[..., 0]
    depth[fragments.triangle < 0] = np.inf
    columns, rows = place.astype(np.int64).T
    lit = np.zeros(len(vertices), np.float32)
    taps = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    for dx, dy in taps:
        lit += seen[:, 2] - slack_mm < depth[rows + dy, columns + dx]
    return lit / len(taps)


def ambient_occlusion(
    vertices: Floats, triangles: NDArray[Any], directions: int = 48, *, texels: int = 160
) -> NDArray[np.float32]:
    """(V,) share 0..1 of an even sky that each vertex sees, weighted by the cosine to its normal."""
    n = np.arange(directions) + 0.5  # a Fibonacci sphere
    height, turn = 1 - 2 * n / directions, np.pi * (1 + 5**0.5) * n
    radius = np.sqrt(1 - height**2)
    normals = vertex_normals(vertices, triangles)
    seen, possible = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    for direction in np.column_stack([radius * np.cos(turn), height, radius * np.sin(turn)]):
        cosine = np.clip(normals @ direction, 0, None)
        seen += cosine * lamp_visibility(vertices, triangles, direction, texels=texels)
        possible += cosine
    return (seen / possible).astype(np.float32)
