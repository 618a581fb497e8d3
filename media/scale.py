"""Frames at another size, on the way to the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


def scaled(frames: Iterable[Frame], width: int, height: int) -> Iterator[Frame]:
    """Each frame (H, W, 3) RGB or (H, W, 4) RGBA with straight alpha, uint8, at (height, width)."""
    for image in frames:
        yield image if image.shape[:2] == (height, width) else _resized(image, width, height)


def _resized(image: Frame, width: int, height: int) -> Frame:
    # Area averaging when it shrinks: nothing finer than the new pixels may fold back as patterns.
    way = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    if image.shape[2] == 3:
        return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)
    # What is see-through has no colour to mix in: colours count by their alpha.
    alpha = image[..., 3:].astype(np.float32) / 255
    weighted = np.concatenate([image[..., :3] * alpha, 255 * alpha], axis=2)
    # A cubic's overshoot beside a border would be divided by the alpha there, and show.
    way = cv2.INTER_LINEAR if way == cv2.INTER_CUBIC else way
    weighted = cv2.resize(weighted, (width, height), interpolation=way)
    alpha = weighted[..., 3:] / 255
    colours = np.divide(weighted[..., :3], alpha, out=np.zeros_like(weighted[..., :3]), where=alpha > 1e-3)
    return np.concatenate([np.clip(colours, 0, 255), weighted[..., 3:]], axis=2).round().astype(np.uint8)
