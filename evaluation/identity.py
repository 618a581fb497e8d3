"""Does the generated face still show the same person? Distances between face descriptors.

The descriptor is handed in (``faces.identity.FaceDescriptor``, dlib's CC0 network: 128-D, one person's
pictures lie within about 0.6 of each other), so that any other can be measured the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.regions import visible

Floats = NDArray[np.float64]
Describe = Callable[[NDArray[np.uint8], NDArray[Any]], NDArray[Any]]
"""(H, W, 3) uint8 RGB and its (478, 2) landmarks -> (D,) descriptor."""

STRIDE = 5
"""Every so manieth frame is described: neighbouring frames say nearly the same and describing is slow."""


def describe_frames(
    frames: Iterable[NDArray[np.uint8]], landmarks: NDArray[Any], describe: Describe, stride: int = STRIDE
) -> Floats:
    """Descriptors of every ``stride``-th frame that shows a face: (N, D), or (0, 0) when none does.

    Args:
        frames: (H, W, 3) uint8 RGB pictures, one per row of ``landmarks``.
        landmarks: (T, 478, 2) pixels, NaN where no face was found.
        describe: the descriptor.
        stride: in frames, at least 1.
    """
    seen = visible(landmarks)
    found = [
        np.asarray(describe(image, landmarks[index]), np.float64)
        for index, image in enumerate(frames)
        if index < len(seen) and index % stride == 0 and seen[index]
    ]
    return np.stack(found) if found else np.zeros((0, 0))


def identity_distance(descriptors: NDArray[Any], enrolled: NDArray[Any]) -> float:
    """Mean Euclidean distance of (N, D) descriptors to the person's (D,) mean descriptor; 0 = the same,
    lower is better.

    The person's mean is taken over the real *training* frames, so that the real held-out frames have a
    distance of their own, which the generated ones can be compared with. NaN when there are no descriptors.
    """
    if not descriptors.size or not np.isfinite(enrolled).all():
        return math.nan
    return float(np.linalg.norm(descriptors - enrolled, axis=1).mean())
