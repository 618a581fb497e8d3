"""Landmark indices of MediaPipe's 478-point face mesh, and the two apertures that everything is judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
"""Ring round the outer lip border, starting at the corner at the image's left of an unmirrored face."""
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Ring round the inner lip border."""
LIPS = tuple(sorted({
    *LIPS_OUTER, *LIPS_INNER,
    76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77,
    62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96,
}))  # fmt: skip
"""All lip landmarks: outer, two middle and inner rings."""
LIP_CORNERS = ((61, 76, 62, 78), (291, 306, 292, 308))
"""The four rings' landmarks at each corner of the mouth."""
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""Lid ring of the person's right eye (at the image's left), from the outer corner over the upper lid."""
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
"""Lid ring of the person's left eye."""
RIGHT_IRIS = (468, 469, 470, 471, 472)
"""Centre and four rim points of the person's right iris."""
LEFT_IRIS = (473, 474, 475, 476, 477)
"""Centre and four rim points of the person's left iris."""
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Ring round the face, from the forehead clockwise in the image."""

UPPER_INNER = (81, 82, 13, 312, 311)
"""The five middle landmarks of the upper lip's inner border."""
LOWER_INNER = (178, 87, 14, 317, 402)
"""Those of the lower lip, each below its partner."""
_RIGHT_UPPER, _RIGHT_LOWER = (160, 159, 158), (144, 145, 153)
_LEFT_UPPER, _LEFT_LOWER = (387, 386, 385), (373, 374, 380)


def inter_ocular_distance(landmarks: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 478, 2 or 3) -> (...): distance between the outer eye corners (33 and 263), in the input's unit."""
    return np.linalg.norm(landmarks[..., 33, :] - landmarks[..., 263, :], axis=-1)


def mouth_opening(landmarks: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 478, 2 or 3) -> (...): mean inner-lip gap of the five middle pairs over the inter-ocular distance."""
    gap = np.linalg.norm(landmarks[..., UPPER_INNER, :] - landmarks[..., LOWER_INNER, :], axis=-1).mean(-1)
    return gap / inter_ocular_distance(landmarks)


def eye_aperture(landmarks: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 478, 2 or 3) -> (...): mean lid gap of both eyes (three pairs each) over the inter-ocular distance."""
    right = np.linalg.norm(landmarks[..., _RIGHT_UPPER, :] - landmarks[..., _RIGHT_LOWER, :], axis=-1).mean(
        -1
    )
    left = np.linalg.norm(landmarks[..., _LEFT_UPPER, :] - landmarks[..., _LEFT_LOWER, :], axis=-1).mean(-1)
    return (right + left) / 2 / inter_ocular_distance(landmarks)


def lip_shape(landmarks: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 478, 2 or 3) -> (..., 2): height of the mouth with its lips, and its width, over the inter-ocular distance.

    What speech does to a mouth that is seen from the front: vowels open it, and rounding makes it narrow.
    """
    height = np.linalg.norm(landmarks[..., 0, :] - landmarks[..., 17, :], axis=-1)
    width = np.linalg.norm(landmarks[..., 61, :] - landmarks[..., 291, :], axis=-1)
    return np.stack([height, width], axis=-1) / inter_ocular_distance(landmarks)[..., None]
