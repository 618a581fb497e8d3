"""Short clips that are invented to measure watermarks on: what codecs and scalers spare least, in many sizes.

Seeds up to 999 are for development; benchmarks use those from :data:`HELD_OUT` on, on which nothing was tuned.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.backdrop import invent_backdrop
from studio.synthetic_clips import make_clip

Frame = NDArray[np.uint8]
Plane = NDArray[np.float32]

HELD_OUT = 1000
"""First seed of the scenes that nothing may be tuned on."""
KINDS = ("bare wall", "grain", "dark", "texture", "still texture", "backdrop", "person")
SIZES = ((512, 512), (640, 480), (1280, 720))


def invented(kind: str, frames: int, size: tuple[int, int] = (512, 512), seed: int = 1) -> list[Frame]:
    """A scene of one of :data:`KINDS`: an oval that sways before a wall, or somebody who talks.

    ``bare wall`` is a tone that falls off to one side; ``grain`` has a camera's noise over it, ``dark`` too, with
    little light; ``texture`` is cloth that moves, ``still texture`` such that does not; ``backdrop`` is a room out of
    focus, with noise; ``person`` is filmed by :mod:`studio.synthetic_clips`.

    Args:
        kind: what is behind.
        frames: how many.
        size: (width, height) in pixels; even for a person.
        seed: the same seed gives the same scene.
    """
    if kind == "person":
        return list(make_clip(seed, frames, size, crf=18).frames)
    random = np.random.default_rng([seed, KINDS.index(kind)])
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    wall, noise, speed = _wall(kind, random, x, y)
    grain = np.random.default_rng([seed, len(KINDS)])
    skin = _cloth(random, size, random.uniform(1.5, 4)) * random.uniform(0.5, 2.0)
    tint = random.uniform(0.9, 1.1, 3).astype(np.float32)
    tone = random.uniform(25, 60) if kind == "dark" else random.uniform(90, 180)
    sway, phase = random.uniform(0.02, 0.1), random.uniform(0, 6)
    result = []
    for number in range(frames):
        image = np.roll(wall, (round(speed[1] * number), round(speed[0] * number)), (0, 1))
        across = width * (0.5 + sway * np.sin(number / 11 + phase))
        down = height * (0.5 + 0.01 * np.sin(number / 7))
        away = np.hypot((x - across) / (0.22 * min(width, height)), (y - down) / (0.3 * height))
        cover = np.clip((1 - away) * 20, 0, 1)
        lit = tone * (1.1 - 0.4 * away)
        image = image + cover * (lit + np.roll(skin, (number, number), (0, 1)) - image)
        if noise:
            image = image + grain.normal(0, noise, image.shape)
        result.append(np.clip(image[..., None] * tint, 0, 255).astype(np.uint8))
    return result


def _wall(
    kind: str, random: np.random.Generator, x: Plane, y: Plane
) -> tuple[Plane, float, tuple[float, float]]:
    """(H, W) grey levels, the camera's noise in levels, and how far the wall moves with each frame, px."""
    height, width = x.shape
    slope = random.uniform(-40, 40) * x / width + random.uniform(-30, 30) * y / height
    wall = slope + random.uniform(60, 190)
    if kind == "grain":
        return wall, random.uniform(1.0, 4.0), (0, 0)
    if kind == "dark":
        return 0.2 * slope + random.uniform(20, 45), random.uniform(1.0, 2.5), (0, 0)
    if kind.endswith("texture"):
        wall = wall + _cloth(random, (width, height), random.uniform(1.2, 5)) * random.uniform(4, 16)
        angle, pace = random.uniform(0, 2 * np.pi), random.uniform(1, 4)
        return wall, 0.0, (0, 0) if kind[0] == "s" else (pace * np.cos(angle), pace * np.sin(angle))
    if kind == "backdrop":
        room = invent_backdrop(random, (width, height), (width / 2, 0.4 * height), height / 400)
        seen = room.wall + room.cover[..., None] * (room.clothes - room.wall)
        return 255 * np.clip(seen.mean(2), 0, 1) ** np.float32(1 / 2.2), random.uniform(0, 2), (0, 0)
    return wall, 0.0, (0, 0)


def _cloth(random: np.random.Generator, size: tuple[int, int], grain_px: float) -> Plane:
    """(H, W) blurred noise of mean 0 and deviation 1, without a seam when it is rolled."""
    margin = round(4 * grain_px)
    noise = np.pad(random.standard_normal((size[1], size[0])).astype(np.float32), margin, mode="wrap")
    cloth = np.asarray(cv2.GaussianBlur(noise, (0, 0), grain_px))[margin:-margin, margin:-margin]
    return cloth / cloth.std()
