"""Inside and outside of a ring of landmarks, on the face unrolled about the head's axis."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

AXIS_MM, RADIUS_MM = 20.0, 75.0
"""Depth of the axis in head axes, and the face's radius about it."""


def ring_distance(ring: NDArray[Any], points: NDArray[Any]) -> NDArray[np.float64]:
    """Rings (R, 3) and points (M, 3), head axes -> (M,) millimetres to the ring along the face, positive inside."""
    polygon = _unroll(ring)
    return np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in _unroll(points)])


def inside_ring(ring: NDArray[Any], points: NDArray[Any]) -> NDArray[np.bool_]:
    """(M,) whether points lie inside the ring, on the front half of the head."""
    result: NDArray[np.bool_] = (ring_distance(ring, points) > 0) & (points[:, 2] > 0)
    return result


def _unroll(at: NDArray[Any]) -> NDArray[np.float32]:
    angle = np.arctan2(at[:, 0], at[:, 2] - AXIS_MM)
    return np.column_stack([angle * RADIUS_MM, at[:, 1]]).astype(np.float32)
