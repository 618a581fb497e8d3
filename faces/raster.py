"""Z-buffer rasterisation: projected triangles to (triangle id, barycentric) per pixel, perspective-correct.

Two backends behind one call: ``numba`` (the default on CPU) and ``torch`` (any device, the reference that tests hold
the other against). Pixel (column i, row j) is sampled at its centre (i + 0.5, j + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

Backend = Literal["numba", "torch"]


@dataclass(frozen=True)
class Fragments:
    """What covers each pixel."""

    triangle: NDArray[np.int32]
    """(h, w) index of the nearest triangle, -1 where there is none."""
    barycentric: NDArray[np.float32]
    """(h, w, 3) perspective-correct weights of the triangle's corners, zero where there is none."""

    def interpolate(self, attributes: NDArray[Any], triangles: NDArray[Any]) -> NDArray[np.float32]:
        """Per-vertex (V, C) or per-corner (F, 3, C) ``attributes`` -> (h, w, C), zero where nothing covers."""
        if attributes.ndim == 2:
            return _interpolate_vertices(
                self.triangle,
                self.barycentric,
                np.ascontiguousarray(attributes, np.float32),
                np.ascontiguousarray(triangles, np.int32),
            )
        return _interpolate_corners(
            self.triangle, self.barycentric, np.ascontiguousarray(attributes, np.float32)
        )


def rasterize(
    vertices: NDArray[Any],
    triangles: NDArray[Any],
    size: tuple[int, int],
    *,
    cull_backfaces: bool = False,
    backend: Backend = "numba",
) -> Fragments:
    """Rasterise one mesh.

    Args:
        vertices: (V, 3) x and y in pixels, z depth in millimetres (> 0, larger is farther).
        triangles: (F, 3) vertex indices; counter-clockwise seen from outside in head axes (y up).
        size: (height, width) in pixels.
        cull_backfaces: drop triangles that face away.
        backend: ``numba`` or ``torch``.
    """
    points = np.ascontiguousarray(vertices, np.float64)
    faces = np.ascontiguousarray(triangles, np.int32)
    height, width = size
    if backend == "numba":
        triangle, barycentric = _rasterize_numba(points, faces, height, width, cull_backfaces)
        return Fragments(triangle, barycentric)
    return _rasterize_torch(points, faces, height, width, cull_backfaces)


@njit(cache=True, nogil=True, fastmath=False)
def _rasterize_numba(
    points: Any, faces: Any, height: int, width: int, cull: bool
) -> tuple[Any, Any]:  # pragma: no cover - compiled
    depth = np.full((height, width), np.inf)
    triangle = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    for t in range(len(faces)):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
        bx, by, bz = points[j, 0], points[j, 1], points[j, 2]
        cx, cy, cz = points[k, 0], points[k, 1], points[k, 2]
        if az <= 0.0 or bz <= 0.0 or cz <= 0.0:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Image y points down, so a triangle that faces the camera has a negative area here.
        if area == 0.0 or (cull and area > 0.0):
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        y0 = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                inverse = u / az + v / bz + w / cz
                z = 1.0 / inverse
                if z < depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = t
                    barycentric[y, x, 0] = u / az * z
                    barycentric[y, x, 1] = v / bz * z
                    barycentric[y, x, 2] = w / cz * z
    return triangle, barycentric


@njit(cache=True, nogil=True)
def _interpolate_vertices(
    triangle: Any, barycentric: Any, values: Any, faces: Any
) -> Any:  # pragma: no cover
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
def _interpolate_corners(triangle: Any, barycentric: Any, values: Any) -> Any:  # pragma: no cover - compiled
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


def _rasterize_torch(
    points: NDArray[np.float64],
    faces: NDArray[np.int32],
    height: int,
    width: int,
    cull: bool,
    chunk: int = 64,
) -> Fragments:
    """The reference: every triangle against every pixel, ``chunk`` triangles at a time."""
    corners = torch.from_numpy(points)[torch.from_numpy(faces.astype(np.int64))]  # (F, 3, 3)
    ys, xs = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5,
        torch.arange(width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    depth = torch.full((height, width), torch.inf, dtype=torch.float64)
    triangle = torch.full((height, width), -1, dtype=torch.int32)
    barycentric = torch.zeros(height, width, 3, dtype=torch.float64)
    for start in range(0, len(corners), chunk):
        a, b, c = (corners[start : start + chunk, n, :, None, None] for n in range(3))  # (n, 3, 1, 1)
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        u = ((b[:, 0] - xs) * (c[:, 1] - ys) - (b[:, 1] - ys) * (c[:, 0] - xs)) / area  # (n, h, w)
        v = ((c[:, 0] - xs) * (a[:, 1] - ys) - (c[:, 1] - ys) * (a[:, 0] - xs)) / area
        w = 1.0 - u - v
        z = 1.0 / (u / a[:, 2] + v / b[:, 2] + w / c[:, 2])
        hit = (u >= 0) & (v >= 0) & (w >= 0) & (area != 0) & (torch.minimum(torch.minimum(a, b), c)[:, 2] > 0)
        if cull:
            hit &= area < 0
        z = torch.where(hit, z, torch.inf)
        nearest, which = z.min(dim=0)
        better = nearest < depth
        depth = torch.where(better, nearest, depth)
        triangle = torch.where(better, (which + start).to(torch.int32), triangle)
        pick = which[None]
        weights = torch.stack(
            [
                (u.gather(0, pick) / a[:, 2].expand_as(u).gather(0, pick))[0] * nearest,
                (v.gather(0, pick) / b[:, 2].expand_as(v).gather(0, pick))[0] * nearest,
                (w.gather(0, pick) / c[:, 2].expand_as(w).gather(0, pick))[0] * nearest,
            ],
            dim=-1,
        )
        barycentric = torch.where(better[..., None], weights, barycentric)
    return Fragments(triangle.numpy(), barycentric.to(torch.float32).numpy())
