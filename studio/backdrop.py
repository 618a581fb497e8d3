"""What stands behind and below an invented person: a wall with blurred things on it, and clothes over the neck."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.complexion import smooth_step

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Backdrop:
    """Pictures in linear light."""

    wall: Array
    """(H, W, 3)."""
    clothes: Array
    """(H, W, 3) colour of clothes."""
    cover: Array
    """(H, W) 0..1 where clothes hide what is behind them, the neck included."""
    collar: Array
    """(H, W, 3) inside of the collar, behind the neck, premultiplied."""
    collar_cover: Array
    """(H, W) 0..1."""

    def moved(self, dx: float, dy: float) -> Backdrop:
        """The clothes moved by some pixels; the wall stays."""
        height, width = self.cover.shape
        shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)

        def move(image: Array) -> Array:
            return np.asarray(
                cv2.warpAffine(
                    image, shift, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
            )

        return Backdrop(
            self.wall, move(self.clothes), move(self.cover), move(self.collar), move(self.collar_cover)
        )


def invent_backdrop(
    rng: np.random.Generator, size: tuple[int, int], head: tuple[float, float], px_per_mm: float
) -> Backdrop:
    """A wall and somebody's clothes.

    Args:
        rng: source of chance.
        size: (width, height) in pixels.
        head: pixel of the head's origin (between the ears, at eye height).
        px_per_mm: scale at the head.
    """
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    wall = _wall(rng, rows, columns)
    x = (columns - head[0]) / px_per_mm  # millimetres from the head's origin
    y = (rows - head[1]) / px_per_mm
    offset = np.abs(x)
    broad = rng.uniform(0.9, 1.15)
    shoulder = 112 + 42 * smooth_step(offset, 50 * broad, 105 * broad) + 0.12 * offset
    shoulder = shoulder + 900 * np.clip(offset / 385 / broad - 0.3, 0, 1) ** 2.4
    half = rng.uniform(60, 70)
    collar = 110 + rng.uniform(16, 34) * np.sqrt(np.clip(1 - (offset / half) ** 2, 0, None))
    edge = np.where(offset < half, collar, shoulder)
    cover = smooth_step(y - edge, -0.8, 0.8)
    tone = rng.choice([0.04, 0.12, 0.3, 0.6]) * np.clip(rng.normal(1, 0.25, 3), 0.3, 1.5)
    fold = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 14 * px_per_mm)
    fold *= 0.12 / max(float(fold.std()), 1e-6)
    knit = 1 + rng.uniform(0, 0.08) * np.sin(x * rng.uniform(0.8, 2.4)) * np.sin(y * 1.9) + fold
    if rng.random() < 0.3:
        knit = knit * (1 + rng.uniform(0.1, 0.5) * np.sign(np.sin(y / rng.uniform(4, 14))))
    slope = np.clip(x / 200, -1, 1)
    shading = (1 - 0.4 * slope * rng.choice([-1, 1]) - 0.1 * slope**2) * (
        0.75 + 0.25 * smooth_step(y - edge, 0, 20)
    )
    clothes = np.clip(tone * (shading * knit)[..., None], 0, 1)
    collar_cover = smooth_step(y, 110, 112) * smooth_step(offset, half + 0.5, half - 0.5)
    behind = np.broadcast_to(np.clip(tone * 0.35, 0, 1), clothes.shape) * collar_cover[..., None]
    return Backdrop(
        *(np.ascontiguousarray(a, np.float32) for a in (wall, clothes, cover, behind, collar_cover))
    )


def _wall(rng: np.random.Generator, rows: Array, columns: Array) -> Array:
    """(H, W, 3): a tone that falls off sideways, some blurred boxes (shelves, frames, a window), mottle."""
    height, width = rows.shape
    tone = rng.uniform(0.05, 0.75) * np.clip(rng.normal(1, 0.12, 3), 0.5, 1.4)
    wall = np.broadcast_to(tone, (height, width, 3)).astype(np.float32).copy()
    for _ in range(rng.integers(0, 9)):
        w, h = rng.uniform(0.05, 0.4, 2) * [width, height]
        left, top = rng.uniform(-0.1, 1.0) * width, rng.uniform(-0.1, 0.9) * height
        colour = rng.uniform(0.02, 0.6) * np.clip(rng.normal(1, 0.25, 3), 0.3, 1.6)
        corners = (int(left), int(top)), (int(left + w), int(top + h))
        cv2.rectangle(wall, *corners, tuple(float(c) for c in colour), -1)
    blur = rng.uniform(0.003, 0.03) * max(height, width)
    wall = np.asarray(cv2.GaussianBlur(wall, (0, 0), blur), np.float32)
    along = (columns / width - 0.5) * rng.uniform(-0.6, 0.6) + (rows / height - 0.5) * rng.uniform(-0.4, 0.2)
    coarse = rng.standard_normal((height // 8 + 2, width // 8 + 2)).astype(np.float32)
    mottle = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 1.5), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(wall * (1 + along + 0.06 * mottle)[..., None], 0, 1).astype(np.float32)
