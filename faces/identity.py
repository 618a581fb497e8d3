"""Who a face is: dlib's CC0 128-D face descriptor, aligned by landmarks that are already there.

dlib's own detector and 68-point predictor (whose training data forbids commercial use) are not used: the five
alignment points are taken from MediaPipe's 478. The network runs in torch (``faces.descriptor_network``), to the same
numbers at a third of dlib's time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlib
import numpy as np
import torch
from numpy.typing import NDArray

from faces.descriptor_network import DESCRIPTOR_SIZE, DescriptorNetwork, weights_path
from problems import InvalidParameter

__all__ = [
    "CHIP_PADDING",
    "CHIP_SIZE",
    "DESCRIPTOR_SIZE",
    "FaceDescriptor",
    "identity_distance",
    "weights_path",
]

CHIP_SIZE = 150
"""Side of the aligned face that the network was trained on, in pixels."""
CHIP_PADDING = 0.25
"""Margin round the aligned face, as a share of its side; the value the network was trained with."""
# dlib's order: the outer and inner corner of the eye at the image's right, those of the other eye, below the
# nose. Measured on the three study clips against dlib's own 5-point predictor: all within 4 % of the
# inter-ocular distance on frontal faces.
_FIVE_POINTS = (263, 362, 33, 133, 2)


class FaceDescriptor:
    """128-D identity descriptors; two faces of one person lie within about 0.6 (Euclidean) of each other."""

    def __init__(self, weights: Path | None = None) -> None:
        self._network = DescriptorNetwork.load(weights)

    def chip(self, image: NDArray[np.uint8], landmarks: NDArray[Any]) -> NDArray[np.uint8]:
        """Aligned face. image (H, W, 3) uint8 RGB, landmarks (478, 2 or 3) pixels -> (150, 150, 3) uint8 RGB.

        Raises:
            InvalidParameter: the landmarks are missing (NaN) or the shapes are wrong.
        """
        points = np.asarray(landmarks, dtype=np.float64)[..., :2]
        is_picture = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
        if not is_picture or len(points) <= max(_FIVE_POINTS):
            raise InvalidParameter(
                f"an image {image.shape} {image.dtype} with landmarks {points.shape} can't be described",
                remedy="pass an (H, W, 3) uint8 RGB image and (478, 2) landmarks in its pixels",
            )
        five = points[list(_FIVE_POINTS)]
        if not np.isfinite(five).all():
            raise InvalidParameter(
                "the frame has no face landmarks to align a descriptor with",
                remedy="describe only valid frames",
            )
        x, y = five.round().astype(int).T.tolist()
        face = dlib.full_object_detection(
            dlib.rectangle(min(x), min(y), max(x), max(y)), [dlib.point(*p) for p in zip(x, y, strict=True)]
        )
        chip: NDArray[np.uint8] = dlib.get_face_chip(
            np.ascontiguousarray(image), face, size=CHIP_SIZE, padding=CHIP_PADDING
        )
        return chip

    def describe(self, image: NDArray[np.uint8], landmarks: NDArray[Any]) -> NDArray[np.float32]:
        """Descriptor. image (H, W, 3) uint8 RGB, landmarks (478, 2 or 3) pixels -> (128,) float32.

        Raises:
            InvalidParameter: as :meth:`chip`.
        """
        chip = torch.from_numpy(self.chip(image, landmarks)).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            described: NDArray[np.float32] = self._network(chip / 127.5 - 1)[0].numpy()
        return described


def identity_distance(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 128), (..., 128) -> (...): Euclidean distance; dlib's threshold for another person is 0.6."""
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return np.asarray(np.linalg.norm(difference, axis=-1))
