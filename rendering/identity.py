"""The value that the memory stores for a frame: who it is and how its mouth and eyes look."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.identity import DESCRIPTOR_SIZE, FaceDescriptor
from problems import InvalidParameter

__all__ = ["EYES_THUMBNAIL", "MOUTH_THUMBNAIL", "VALUE_SIZE", "Box", "FaceDescriptor", "appearance_value"]

MOUTH_THUMBNAIL = 8
"""Side of the mouth's thumbnail in pixels: enough to tell teeth, tongue and dark apart."""
EYES_THUMBNAIL = 4
"""Side of the eyes' thumbnail in pixels."""
VALUE_SIZE = DESCRIPTOR_SIZE + 3 * (MOUTH_THUMBNAIL**2 + EYES_THUMBNAIL**2)
"""Length of a value, Dv: 128 + 192 + 48 = 368."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the crop, exclusive end."""


def appearance_value(
    crop_rgb: NDArray[np.uint8], mouth_box: Box, eyes_box: Box, descriptor: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One frame's memory value.

    Args:
        crop_rgb: (S, S, 3) uint8 RGB crop of the real frame.
        mouth_box: the mouth in the crop; parts outside of the crop are cut off.
        eyes_box: both eyes in the crop.
        descriptor: (128,) of the same frame, any length.

    Returns:
        (Dv,) float32: the unit descriptor, then the unit appearance code (mouth 8x8x3, eyes 4x4x3, from [-1,
        1]).

    Raises:
        InvalidParameter: a box does not meet the crop, or the descriptor has another size.
    """
    if descriptor.shape != (DESCRIPTOR_SIZE,):
        raise InvalidParameter(
            f"a face descriptor has shape {descriptor.shape}, not ({DESCRIPTOR_SIZE},)",
            remedy="use FaceDescriptor.describe",
        )
    mouth = _thumbnail(crop_rgb, mouth_box, MOUTH_THUMBNAIL)
    eyes = _thumbnail(crop_rgb, eyes_box, EYES_THUMBNAIL)
    return np.concatenate([_unit(descriptor), _unit(np.concatenate([mouth, eyes]))]).astype(np.float32)


def _thumbnail(image: NDArray[np.uint8], box: Box, side: int) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x1 <= x0 or y1 <= y0:
        raise InvalidParameter(
            f"the box {box} lies outside of the {width}x{height} crop",
            remedy="crop so that mouth and eyes are inside, or leave the frame out",
        )
    small = cv2.resize(image[y0:y1, x0:x1], (side, side), interpolation=cv2.INTER_AREA)
    return (small.astype(np.float32) / 127.5 - 1).ravel()


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
