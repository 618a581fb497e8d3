"""Light as nine spherical harmonics per colour, and the normals it falls on.

A matte surface under distant light of any kind is lit by nine numbers per colour channel (Ramamoorthi and Hanrahan
2001). The light lives in camera axes: a head that turns under a still lamp is shaded differently, as it should be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.morphable import SKIN, MorphableModel

Array = NDArray[np.float32]

NEUTRAL = np.zeros((9, 3), np.float32)
"""Light that leaves every colour as it is."""
NEUTRAL[0] = 1.0


def harmonics(normals: NDArray[Any]) -> Array:
    """(..., 3) unit normals -> (..., 9) real spherical harmonics up to degree 2, scaled so that the first is 1."""
    x, y, z = (np.asarray(normals[..., n], np.float32) for n in range(3))
    return np.stack(
        [np.ones_like(x), x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=-1
    ).astype(np.float32)


def shading(normals: NDArray[Any], light: NDArray[Any]) -> Array:
    """(..., 3) unit normals in camera axes and one frame's (27,) or (9, 3) light -> (..., 3) factors, at least .1."""
    result: Array = np.maximum(harmonics(normals) @ np.asarray(light, np.float32).reshape(9, 3), 0.1)
    return result


def vertex_normals(vertices: NDArray[Any], triangles: NDArray[Any]) -> Array:
    """(V, 3) vertices -> (V, 3) unit normals, area-weighted over the triangles round each vertex."""
    return _vertex_normals(
        np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.int32)
    )


def vertex_shading(model: MorphableModel, vertices: NDArray[Any], light: NDArray[Any]) -> Array:
    """(V, 3) factors by which one frame's light (27,) colours the vertices (V, 3, camera axes).

    Eyes, teeth and the mouth's inside lie in the shade of lids and lips: they get the mean of the skin in view.
    """
    normals = vertex_normals(vertices, model.triangles)
    factors = shading(normals, light)
    skin = model.vertex_part == SKIN
    in_view = skin & (normals[:, 2] < -0.5)
    factors[~skin] = factors[in_view].mean(0) if in_view.any() else 1.0
    return factors


@njit(cache=True, nogil=True)
def triangle_normal(vertices: Any, a: int, b: int, c: int) -> Any:  # pragma: no cover - compiled
    """Normal of a triangle of (V, 3) vertices, as three numbers; its length is twice the area."""
    ux, uy, uz = (
        vertices[b, 0] - vertices[a, 0],
        vertices[b, 1] - vertices[a, 1],
        vertices[b, 2] - vertices[a, 2],
    )
    vx, vy, vz = (
        vertices[c, 0] - vertices[a, 0],
        vertices[c, 1] - vertices[a, 1],
        vertices[c, 2] - vertices[a, 2],
    )
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@njit(cache=True, nogil=True)
def _vertex_normals(vertices: Any, triangles: Any) -> Any:  # pragma: no cover - compiled
    normals = np.zeros_like(vertices)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        nx, ny, nz = triangle_normal(vertices, a, b, c)
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for v in range(len(normals)):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-9
        for axis in range(3):
            normals[v, axis] /= length
    return normals
