"""The default rasteriser: a z-buffer in compiled loops, one triangle after the other.

Edge functions are evaluated afresh at each pixel, never stepped: swapping an edge's ends then flips their sign exactly,
which is what makes neighbouring triangles watertight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=False)
def rasterize_numba(
    points: Any, faces: Any, height: int, width: int, cull: bool
) -> tuple[Any, Any]:  # pragma: no cover - compiled
    """(V, 3) float64 and (F, 3) int32 -> (h, w) int32 triangle ids and (h, w, 3) float32 weights."""
    nearness = np.zeros((height, width))  # 1 / z, so that nothing need be divided before a pixel is won
    triangle = np.full((height, width), -1, np.int32)
    for t in range(len(faces)):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
        bx, by, bz = points[j, 0], points[j, 1], points[j, 2]
        cx, cy, cz = points[k, 0], points[k, 1], points[k, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Image y points down, so a triangle that faces the camera has a negative area here. NaN fails each test.
        if not (az > 0.0 and bz > 0.0 and cz > 0.0 and 0.0 < abs(area) < np.inf) or (cull and area > 0.0):
            continue
        x0 = int(max(0.0, np.ceil(min(ax, bx, cx) - 0.5)))
        x1 = int(min(width - 1.0, np.floor(max(ax, bx, cx) - 0.5)))
        y0 = int(max(0.0, np.ceil(min(ay, by, cy) - 0.5)))
        y1 = int(min(height - 1.0, np.floor(max(ay, by, cy) - 0.5)))
        if x0 > x1 or y0 > y1:
            continue
        if area < 0.0:  # from here on clockwise in the picture
            bx, by, bz, cx, cy, cz = cx, cy, cz, bx, by, bz
        own_a = cy < by or (cy == by and cx > bx)
        own_b = ay < cy or (ay == cy and ax > cx)
        own_c = by < ay or (by == ay and bx > ax)
        near_a, near_b, near_c = 1.0 / az, 1.0 / bz, 1.0 / cz
        for y in range(y0, y1 + 1):
            py = y + 0.5
            aty, bty, cty = ay - py, by - py, cy - py
            for x in range(x0, x1 + 1):
                px = x + 0.5
                u = (bx - px) * cty - bty * (cx - px)
                v = (cx - px) * aty - cty * (ax - px)
                w = (ax - px) * bty - aty * (bx - px)
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                if (u == 0.0 and not own_a) or (v == 0.0 and not own_b) or (w == 0.0 and not own_c):
                    continue
                near = (u * near_a + v * near_b + w * near_c) / (u + v + w)
                if near > nearness[y, x]:
                    nearness[y, x] = near
                    triangle[y, x] = t
    return triangle, _weights(points, faces, triangle)


@njit(cache=True, nogil=True, fastmath=False)
def _weights(points: Any, faces: Any, triangle: Any) -> Any:  # pragma: no cover - compiled
    height, width = triangle.shape
    barycentric = np.zeros((height, width, 3), np.float32)
    for y in range(height):
        py = y + 0.5
        for x in range(width):
            t = triangle[y, x]
            if t >= 0:
                px = x + 0.5
                i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
                ax, ay = points[i, 0] - px, points[i, 1] - py
                bx, by = points[j, 0] - px, points[j, 1] - py
                cx, cy = points[k, 0] - px, points[k, 1] - py
                u = (bx * cy - by * cx) / points[i, 2]
                v = (cx * ay - cy * ax) / points[j, 2]
                w = (ax * by - ay * bx) / points[k, 2]
                total = u + v + w
                barycentric[y, x, 0] = u / total
                barycentric[y, x, 1] = v / total
                barycentric[y, x, 2] = w / total
    return barycentric


@njit(cache=True, nogil=True)
def interpolate_vertices(triangle: Any, barycentric: Any, values: Any, faces: Any) -> Any:  # pragma: no cover
    """(V, C) float32 values -> (h, w, C)."""
    height, width = triangle.shape
    out = np.zeros((height, width, values.shape[1]), np.float32)
    for y in range(height):
        for x in range(width):
            t = triangle[y, x]
            if t >= 0:
                for corner in range(3):
                    weight = barycentric[y, x, corner]
                    vertex = faces[t, corner]
                    for c in range(values.shape[1]):
                        out[y, x, c] += weight * values[vertex, c]
    return out


@njit(cache=True, nogil=True)
def interpolate_corners(triangle: Any, barycentric: Any, values: Any) -> Any:  # pragma: no cover - compiled
    """(F, 3, C) float32 values -> (h, w, C)."""
    height, width = triangle.shape
    out = np.zeros((height, width, values.shape[2]), np.float32)
    for y in range(height):
        for x in range(width):
            t = triangle[y, x]
            if t >= 0:
                for corner in range(3):
                    weight = barycentric[y, x, corner]
                    for c in range(values.shape[2]):
                        out[y, x, c] += weight * values[t, corner, c]
    return out
