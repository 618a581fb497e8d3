"""A real face that moves and opens its mouth: scikit-image's astronaut (public domain, NASA), warped."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

SIDE = 320


@cache
def _photo() -> NDArray[np.uint8]:
    return np.asarray(skimage.data.astronaut()[:256, 100:356], np.uint8)


@lru_cache(maxsize=256)
def moving_face(index: int, side: int = SIDE) -> NDArray[np.uint8]:
    """(side, side, 3) RGB: the head drifts, and the part below the lips goes up and down four times in 25 frames."""
    photo = _photo()
    drift = 4 * np.sin(index / 9), 3 * np.cos(index / 13)
    jaw = 7 * (1 - np.cos(index * 2 * np.pi * 4 / 25)) / 2
    y, x = np.mgrid[:side, :side].astype(np.float32) * 256 / side
    lips_y, lips_x = 148.0, 124.0  # measured in the crop
    reach = np.exp(-(((x - lips_x) / 30) ** 2)) * np.clip((y - lips_y) / 6, 0, 1)
    reach *= np.clip((225 - y) / 50, 0, 1)
    return cv2.remap(
        photo,
        (x + drift[0]).astype(np.float32),
        (y + drift[1] - jaw * reach).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    ).astype(np.uint8)


def scenery(index: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A picture without a face that moves."""
    y, x = np.mgrid[:side, :side]
    wave = 120 + 60 * np.sin((x + 3 * index) / 17) + 40 * np.sin(y / 11)
    return np.repeat(wave.astype(np.uint8)[..., None], 3, 2)


def pasted(face: NDArray[np.uint8], width: int, height: int, left: int, top: int) -> NDArray[np.uint8]:
    """The face on a grey ground."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[top : top + face.shape[0], left : left + face.shape[1]] = face
    return image


def except_in(
    frames: range, usual: Callable[[int], NDArray[np.uint8]], other: Callable[[int], NDArray[np.uint8]]
) -> Callable[[int], NDArray[np.uint8]]:
    """``usual``, but ``other`` in ``frames``."""
    return lambda index: other(index) if index in frames else usual(index)
