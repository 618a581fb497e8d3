"""Smooth waves in the brightness of a frame, on a grid of 16 x 16 cells: how high they are, and how they look.

A wave vanishes at its cell's border, and is as long as the cell one way and twice that the other, or as long as it both
ways. Its height is taken over what is blurred there, so light that falls off is none.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

CELLS = 16
"""Cells along each side of the frame."""
SAMPLES = 8
"""Samples along each side of a cell: marks are made and read on a plane of 128 x 128."""
SIDE = CELLS * SAMPLES
WAVES = ((2, 1), (1, 2), (2, 2))
"""Of each cell: half waves across and down."""
BLUR = 4.0
"""Deviation of the Gaussian whose blur heights are taken over, samples: light that falls off is no wave."""
STEP = 6.0
"""Distance of two heights of a wave that mean the same, grey levels."""

SHAPE = (len(WAVES), CELLS, CELLS)
"""Of an array with a number for each wave of a frame."""
COUNT = len(WAVES) * CELLS * CELLS


def _wave(halves: int) -> Plane:
    """(8,) sine of so many half waves over a cell."""
    return np.sin(halves * np.pi * (np.arange(SAMPLES) + 0.5) / SAMPLES).astype(np.float32)


# (128, 16): column i is cell i's half or whole wave on its own samples.
_COLUMNS = {halves: np.kron(np.eye(CELLS, dtype=np.float32), _wave(halves)[:, None]) for halves in (1, 2)}
POWER = np.float32((SAMPLES / 2) ** 2)
"""A wave's product with itself."""


def plane_of(grey: NDArray[np.uint8]) -> Plane:
    """A frame's brightness (H, W) -> the plane (128, 128) that its waves are measured on, grey levels."""
    height, width = grey.shape
    # Halving is quick, and leaves little for the slow rest.
    if min(height, width) >= 3 * SIDE and height % 2 == width % 2 == 0:
        grey = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def heights_of(plane: Plane) -> NDArray[np.float32]:
    """Heights (3, 16, 16) of each cell's waves over the blurred plane, grey levels."""
    sharp = plane - cv2.GaussianBlur(plane, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT)
    each = [_COLUMNS[down].T @ sharp @ _COLUMNS[across] for across, down in WAVES]
    return np.stack(each) / POWER


def painted(heights: NDArray[np.float32]) -> Plane:
    """Waves of those heights (3, 16, 16) on a plane (128, 128)."""
    each = [_COLUMNS[d] @ of @ _COLUMNS[a].T for of, (a, d) in zip(heights, WAVES, strict=True)]
    return np.sum(each, axis=0)


def sines_of(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What heights say, -1..1: its sign is a coded bit's."""
    return np.sin(heights * np.float32(2 * np.pi / STEP))
