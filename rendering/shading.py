"""Colour and weight of the drawn head, pixel by pixel, in one pass each.

What NumPy and OpenCV would do in ten passes over the picture, each with a picture of its own, is half of a composite's
time; the same sums in compiled loops are a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.light import triangle_normal
from faces.raster import Fragments

Array = NDArray[np.float32]
_NOTHING = np.zeros((0, 0, 3), np.float32)
_NO_SHADE = np.zeros((0, 3), np.float32)


@dataclass(frozen=True)
class Surface:
    """What a mesh looks like in one frame."""

    triangles: NDArray[np.int32]
    """(F, 3)."""
    uv: Array
    """(F, 3, 2) texture coordinates of each triangle's corners, in [0, 1]."""
    texture: NDArray[np.uint8]
    """(A, A, 3)."""
    change: Array | None
    """(B, B, 3) grey levels that are added to the texture, or None."""
    shade: Array | None
    """(V, 3) factors of the light on each vertex, or None."""

    def colour(
        self, fragments: Fragments, shown: NDArray[np.bool_] | None = None, *, samples: int = 1
    ) -> Array:
        """The textured and lit surface, both textures sampled bilinearly.

        Args:
            fragments: of (h * samples, w * samples) pixels.
            shown: (h * samples, w * samples) pixels that matter; None: all.
            samples: so many per pixel and axis, averaged.

        Returns:
            (h, w, 3) grey levels; zero where nothing covers (or nothing is shown).
        """
        height, width = fragments.triangle.shape
        out = np.zeros((height // samples, width // samples, 3), np.float32)
        _colour(
            fragments.triangle,
            fragments.barycentric,
            np.ones((1, 1), np.bool_) if shown is None else shown,
            self.triangles,
            self.uv,
            self.texture,
            _NOTHING if self.change is None else self.change,
            _NO_SHADE if self.shade is None else self.shade,
            samples,
            out,
        )
        return out


def facing(vertices: NDArray[Any], triangles: NDArray[np.int32]) -> Array:
    """(V, 3) camera-space vertices -> (F,) cosine between a triangle's normal and the way to the camera."""
    result: Array = _facing(np.ascontiguousarray(vertices, np.float32), triangles)
    return result


@njit(cache=True, nogil=True)
def _facing(vertices: Any, triangles: Any) -> Any:  # pragma: no cover - compiled
    out = np.empty(len(triangles), np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        nx, ny, nz = triangle_normal(vertices, a, b, c)
        cx = vertices[a, 0] + vertices[b, 0] + vertices[c, 0]
        cy = vertices[a, 1] + vertices[b, 1] + vertices[c, 1]
        cz = vertices[a, 2] + vertices[b, 2] + vertices[c, 2]
        size = np.sqrt((nx * nx + ny * ny + nz * nz) * (cx * cx + cy * cy + cz * cz))
        out[t] = -(nx * cx + ny * cy + nz * cz) / (size + np.float32(1e-9))
    return out


@njit(cache=True, nogil=True)
def face_weight(
    triangle: Any, barycentric: Any, triangles: Any, blend: Any, glance: Any
) -> tuple[Any, Any]:  # pragma: no cover - compiled
    """(h, w) fragments, (V,) blend and (F,) glance -> (h, w) float32: their product, and the cover, 0 or 1."""
    height, width = triangle.shape
    weight, covered = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            t = triangle[y, x]
            if t >= 0:
                covered[y, x] = 1.0
                inside = np.float32(0.0)
                for corner in range(3):
                    inside += barycentric[y, x, corner] * blend[triangles[t, corner]]
                weight[y, x] = inside * glance[t]
    return weight, covered


@njit(cache=True, nogil=True)
def _colour(
    triangle: Any,
    barycentric: Any,
    shown: Any,
    triangles: Any,
    uv: Any,
    texture: Any,
    change: Any,
    shade: Any,
    samples: int,
    out: Any,
) -> None:  # pragma: no cover - compiled
    height, width = out.shape[:2]
    size, fine = np.float32(len(texture)), np.float32(len(change))
    everywhere = shown.size == 1
    share = np.float32(1.0 / (samples * samples))
    one, half = np.float32(1.0), np.float32(0.5)
    for row in range(height * samples):
        for column in range(width * samples):
            t = triangle[row, column]
            if t < 0 or not (everywhere or shown[row, column]):
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            p, q, r = barycentric[row, column, 0], barycentric[row, column, 1], barycentric[row, column, 2]
            u = p * uv[t, 0, 0] + q * uv[t, 1, 0] + r * uv[t, 2, 0]
            v = p * uv[t, 0, 1] + q * uv[t, 1, 1] + r * uv[t, 2, 1]
            x = min(max(u * size - half, np.float32(0.0)), size - one)
            y = min(max(v * size - half, np.float32(0.0)), size - one)
            x0, y0 = int(x), int(y)
            x1, y1 = min(x0 + 1, len(texture) - 1), min(y0 + 1, len(texture) - 1)
            x, y = x - np.float32(x0), y - np.float32(y0)
            a, b, c, d = (one - y) * (one - x), (one - y) * x, y * (one - x), y * x
            red = (
                a * texture[y0, x0, 0]
                + b * texture[y0, x1, 0]
                + c * texture[y1, x0, 0]
                + d * texture[y1, x1, 0]
            )
            green = (
                a * texture[y0, x0, 1]
                + b * texture[y0, x1, 1]
                + c * texture[y1, x0, 1]
                + d * texture[y1, x1, 1]
            )
            blue = (
                a * texture[y0, x0, 2]
                + b * texture[y0, x1, 2]
                + c * texture[y1, x0, 2]
                + d * texture[y1, x1, 2]
            )
            if len(change):
                x = min(max(u * fine - half, np.float32(0.0)), fine - one)
                y = min(max(v * fine - half, np.float32(0.0)), fine - one)
                x0, y0 = int(x), int(y)
                x1, y1 = min(x0 + 1, len(change) - 1), min(y0 + 1, len(change) - 1)
                x, y = x - np.float32(x0), y - np.float32(y0)
                a, b, c, d = (one - y) * (one - x), (one - y) * x, y * (one - x), y * x
                red += (
                    a * change[y0, x0, 0]
                    + b * change[y0, x1, 0]
                    + c * change[y1, x0, 0]
                    + d * change[y1, x1, 0]
                )
                green += (
                    a * change[y0, x0, 1]
                    + b * change[y0, x1, 1]
                    + c * change[y1, x0, 1]
                    + d * change[y1, x1, 1]
                )
                blue += (
                    a * change[y0, x0, 2]
                    + b * change[y0, x1, 2]
                    + c * change[y1, x0, 2]
                    + d * change[y1, x1, 2]
                )
            if len(shade):
                red *= p * shade[i, 0] + q * shade[j, 0] + r * shade[k, 0]
                green *= p * shade[i, 1] + q * shade[j, 1] + r * shade[k, 1]
                blue *= p * shade[i, 2] + q * shade[j, 2] + r * shade[k, 2]
            pixel = out[row // samples, column // samples]
            pixel[0] += share * red
            pixel[1] += share * green
            pixel[2] += share * blue
