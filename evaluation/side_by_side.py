"""The side-by-side video: real and generated clips next to each other, in step, with the sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

HEIGHT = 480
"""Largest height of each picture in pixels; smaller clips are shown as they are."""


def panel_size(size: tuple[int, int], height: int = HEIGHT) -> tuple[int, int]:
    """(height, width) of a clip -> (height, width) of its panel: even, the shape kept, never enlarged."""
    scale = min(1.0, height / size[0])
    return 2 * round(size[0] * scale / 2), 2 * round(size[1] * scale / 2)


def side_by_side(clips: Mapping[str, Iterable[Image]], height: int = HEIGHT) -> Iterator[Image]:
    """Join clips frame by frame, left to right, each with its name in the corner.

    Args:
        clips: name -> (H, W, 3) uint8 RGB pictures of one size; ends with the shortest clip.
        height: largest height of a panel in pixels.

    Yields:
        (h, n * w, 3) uint8 RGB pictures, sides even.
    """
    for images in zip(*clips.values(), strict=False):
        rows, columns = panel_size(images[0].shape[:2], height)
        panels = [
            _named(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), name)
            for name, image in zip(clips, images, strict=True)
        ]
        yield np.hstack(panels).astype(np.uint8)


def _named(panel: NDArray[np.generic], name: str) -> Image:
    canvas = np.array(panel, np.uint8)
    scale = max(0.4, canvas.shape[0] / 700)
    at = (round(14 * scale), round(30 * scale))
    for colour, thickness in (
        ((0, 0, 0), 4),
        ((255, 255, 255), 1),
    ):  # an outline keeps it readable on any background
        cv2.putText(canvas, name, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return canvas
