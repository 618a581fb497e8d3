"""Where in a picture a metric looks: boxes and masks made from one frame's landmarks.

Landmarks are (478, 2) pixels (x, y) in MediaPipe's order; pixel centres lie at integers + 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.mouth import LIPS

FACE_MARGIN = 0.15
"""The face box is the box of all landmarks, grown on each side by this share of its width and height."""
MOUTH_MARGIN = 0.30
"""The mouth box is the box of the lip landmarks, grown on each side by this share of its width and height."""


@dataclass(frozen=True)
class Box:
    """Whole pixels: columns ``left <= x < right``, rows ``top <= y < bottom``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def empty(self) -> bool:
        """True when no pixel of the picture is inside."""
        return self.right <= self.left or self.bottom <= self.top

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """The part of an (H, W, ...) picture inside the box, as a view."""
        return image[self.top : self.bottom, self.left : self.right]


def box_around(points: NDArray[Any], margin: float, size: tuple[int, int]) -> Box:
    """The box of some points, grown by ``margin`` of its width and height on each side, clipped to the
    picture.

    Args:
        points: (N, 2) pixels, all finite.
        margin: share of the box's own width (left, right) and height (top, bottom), e.g. 0.15.
        size: (height, width) of the picture in pixels.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    grow = margin * (high - low)
    left, top = np.floor(low - grow).astype(int)
    right, bottom = np.ceil(high + grow).astype(int)
    height, width = size
    return Box(max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom)))


def face_box(landmarks: NDArray[Any], size: tuple[int, int]) -> Box:
    """(478, 2) pixels -> the landmark box + 15 % on each side."""
    return box_around(landmarks, FACE_MARGIN, size)


def mouth_box(landmarks: NDArray[Any], size: tuple[int, int]) -> Box:
    """(478, 2) pixels -> the box of the lip landmarks + 30 % on each side."""
    return box_around(landmarks[list(LIPS)], MOUTH_MARGIN, size)


def hull_mask(landmarks: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(478, 2) pixels -> (H, W) True inside the convex hull of all landmarks: the face without hair, ears,
    background."""
    hull = cv2.convexHull(np.floor(landmarks).astype(np.int32))
    mask = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(mask, hull, (1,))
    return mask.astype(bool)


def visible(landmarks: NDArray[Any]) -> NDArray[np.bool_]:
    """(T, 478, 2) -> (T,) True where the frame has a face (every landmark finite)."""
    return np.isfinite(landmarks).all(axis=(1, 2))
