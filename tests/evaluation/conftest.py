"""Faces made of points: landmark tracks whose motion, opening and blinks are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from faces.mouth import LIPS
from faces.rotation import rotvec_from_euler

LOWER_LIP = (14, 17, 84, 87, 178, 314, 317, 402)
UPPER_LIDS = (158, 159, 160, 385, 386, 387)


@dataclass(frozen=True)
class PointFace:
    """Projects the mean head's landmarks in any pose."""

    camera: Camera
    points: NDArray[np.float64]

    def track(
        self,
        euler_deg: NDArray[np.float64],
        opening_mm: NDArray[np.float64] | None = None,
        lids_mm: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """(T, 3) degrees [, (T,) mm that the lower lip drops, (T,) mm that the upper lids rise] -> (T, 478,
        2) px."""
        frames = len(euler_deg)
        shapes = np.repeat(self.points[None], frames, axis=0)
        if opening_mm is not None:
            shapes[:, list(LOWER_LIP), 1] -= opening_mm[:, None]
        if lids_mm is not None:
            shapes[:, list(UPPER_LIDS), 1] += lids_mm[:, None]
        place = np.tile([0.0, 0.0, 900.0], (frames, 1))
        return self.camera.project(to_camera(shapes, rotvec_from_euler(euler_deg), place))


@pytest.fixture(scope="session")
def point_face() -> PointFace:
    model = MorphableModel.load()
    points = np.asarray(model.landmark_points(model.mean), np.float64)
    assert set(LOWER_LIP) <= set(LIPS)
    return PointFace(Camera.for_image(640, 480), points)
