"""The one camera convention: pinhole, no distortion, OpenCV axes (x right, y down, z into the scene), millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faces.rotation import exp_map

Floats = NDArray[np.floating]

HEAD_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Head axes (x right in the image, y up, z out of the face) to camera axes (x right, y down, z away)."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the principal point is the image's centre unless said otherwise."""

    focal: float
    """Focal length in pixels."""
    cx: float
    """Principal point, x in pixels."""
    cy: float
    """Principal point, y in pixels."""
    width: int
    """Image width in pixels."""
    height: int
    """Image height in pixels."""

    @classmethod
    def for_image(cls, width: int, height: int, focal_ratio: float = 1.2) -> Camera:
        """A camera for an image of unknown lens: focal = ``focal_ratio`` times the longer side."""
        return cls(focal_ratio * max(width, height), width / 2.0, height / 2.0, width, height)

    def project(self, points: Floats) -> Floats:
        """(..., 3) points in camera millimetres (z > 0) -> (..., 2) pixels; pixel centres lie at integers + 0.5."""
        return points[..., :2] * (self.focal / points[..., 2:3]) + np.array([self.cx, self.cy])


def pixel_slopes(placed: NDArray[np.floating], focal: float) -> NDArray[np.float64]:
    """(..., 3) camera points -> (..., 2, 3) change of their pixels by millimetres in camera axes."""
    x, y, z = (np.asarray(placed[..., n], np.float64) for n in range(3))
    zero = np.zeros_like(x)
    rows = [
        np.stack([focal / z, zero, -focal * x / z**2], -1),
        np.stack([zero, focal / z, -focal * y / z**2], -1),
    ]
    return np.stack(rows, -2)


def to_camera(vertices: Floats, rotation: Floats, translation: Floats) -> Floats:
    """Head-frame points to camera points.

    Args:
        vertices: (T, V, 3) or (V, 3) millimetres in the head frame.
        rotation: (T, 3) or (3,) axis-angle in radians, applied in the head frame.
        translation: (T, 3) or (3,) millimetres in camera axes.

    Returns:
        (T, V, 3) or (V, 3) millimetres in camera axes.
    """
    matrices = HEAD_TO_CAMERA @ exp_map(rotation)  # (..., 3, 3)
    return np.matmul(vertices, np.swapaxes(matrices, -1, -2)) + np.asarray(translation)[..., None, :]
