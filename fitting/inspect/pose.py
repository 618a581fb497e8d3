"""How a head stands, from its landmarks: perspective-n-point on the parts of the mean head that do not move."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.camera import HEAD_TO_CAMERA, Camera
from faces.morphable import MorphableModel
from faces.rotation import euler_from_rotvec, log_map

RIGID = (
    10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 33, 133, 362, 263, 127, 356, 234, 454, 54, 284, 103, 332,
    67, 297, 109, 338, 21, 251, 162, 389, 50, 280, 117, 346, 118, 347, 101, 330,
)  # fmt: skip
"""Landmarks on forehead, nose, eye corners, temples and upper cheeks: neither jaw, lips, brows nor lids move them."""


def head_pose(mesh: NDArray[Any], size: tuple[int, int]) -> tuple[float, float, float]:
    """(pitch, yaw, roll) in degrees, signs as in :func:`faces.rotation.euler_from_rotvec`; NaN if none was found.

    Args:
        mesh: (478, 2 or 3) landmarks in pixels.
        size: width and height of the image; the lens is taken for :meth:`faces.camera.Camera.for_image`'s.
    """
    camera = Camera.for_image(*size)
    lens = np.array([[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1.0]])
    pixels = mesh[list(RIGID), :2].astype(np.float64)
    found, turn, _ = cv2.solvePnP(_rigid_points(), pixels, lens, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found:
        return (float("nan"),) * 3
    # The solver turns camera-axes points; the product's angles are those of the head frame.
    inner = HEAD_TO_CAMERA @ cv2.Rodrigues(turn)[0] @ HEAD_TO_CAMERA
    pitch, yaw, roll = euler_from_rotvec(log_map(inner))
    return float(pitch), float(yaw), float(roll)


@lru_cache(maxsize=1)
def _rigid_points() -> NDArray[np.float64]:
    """(R, 3) the mean head's, in camera axes, millimetres."""
    model = MorphableModel.load()
    return model.landmark_points(model.mean)[list(RIGID)].astype(np.float64) @ HEAD_TO_CAMERA.T
