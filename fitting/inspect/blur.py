"""Detail of a face against the clip's own sharp frames, by direction: out of focus, detail is lost in all directions;
a movement takes it along its own only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCALE = 96.0
"""Pixels between the outer eye corners at which detail is judged; smaller faces are not enlarged."""
_RIGHT_CORNER, _LEFT_CORNER = 33, 263
_FINE = 1.5  # px; structure finer than that is detail


def detail_tensor(image: NDArray[np.uint8], mesh: NDArray[np.floating[Any]]) -> Floats:
    """(h, w, 3) RGB and its (478, 2 or 3) landmarks -> (2, 2) structure tensor of the fine detail.

    The face is turned upright first. Only brows, eyes and the bridge of the nose are looked at: speech does not change
    them. The area's variance divides the tensor, so that contrast does not count.
    """
    right, left = mesh[_RIGHT_CORNER, :2].astype(np.float64), mesh[_LEFT_CORNER, :2].astype(np.float64)
    distance = max(4.0, float(np.linalg.norm(left - right)))
    size = min(SCALE, distance)
    along = (left - right) / distance
    turn = np.array([[along[0], along[1]], [-along[1], along[0]]]) * (size / distance)
    low = np.clip(np.floor(mesh[:, :2].min(0) - 8), 0, np.array(image.shape[1::-1]) - 8).astype(int)
    high = np.maximum(np.ceil(mesh[:, :2].max(0) + 8).astype(int), low + 8)
    grey = cv2.cvtColor(image[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY).astype(np.float32)
    if distance > 1.25 * size:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.35 * distance / size)  # the warp alone would alias
    width, height = int(1.3 * size), int(size)
    shift = np.array([width / 2, 0.4 * size]) - turn @ ((right + left) / 2 - low)
    patch = cv2.warpAffine(
        grey, np.column_stack([turn, shift]), (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    fine = patch - cv2.GaussianBlur(patch, (0, 0), _FINE)
    dx, dy = cv2.Sobel(fine, cv2.CV_32F, 1, 0), cv2.Sobel(fine, cv2.CV_32F, 0, 1)
    tensor = np.array([[(dx * dx).mean(), (dx * dy).mean()], [(dx * dy).mean(), (dy * dy).mean()]])
    return tensor.astype(np.float64) / max(1.0, float(patch.var()))


def detail_kept(tensors: Floats) -> tuple[Floats, Floats]:
    """How much detail each frame has left, over the median of the clip's sharper half.

    Args:
        tensors: (T, 2, 2) from :func:`detail_tensor`, T > 0.

    Returns:
        (T,) in the direction that kept most, and (T,) in the one that kept least; 1 is as sharp as the clip gets.
    """
    amount = np.trace(tensors, axis1=1, axis2=2)
    sharp = np.median(tensors[amount >= np.median(amount)], axis=0)
    values, vectors = np.linalg.eigh(sharp)
    whiten = vectors / np.sqrt(np.maximum(values, 1e-9)) @ vectors.T
    kept = np.linalg.eigvalsh(whiten @ tensors @ whiten)
    return kept[:, 1], kept[:, 0]
