"""Light for invented clips: an even surrounding, a fill and a key lamp as second-order spherical harmonics.

Irradiance over a normal n is ``faces.light.harmonics(n) @ L``; how a lamp falls on a matte surface is from Ramamoorthi
and Hanrahan, "An efficient representation for irradiance environment maps" (SIGGRAPH 2001), with Lambert's 1/pi folded
in. Axes are the camera's: x right, y down, z away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faces.light import harmonics
from studio.gestures import wander

Floats = NDArray[np.floating]

_LOBE = np.array([1.0, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25])  # the clamped cosine's, over pi
_NORM = np.array(
    [0.282095, *[0.488603] * 3, *[1.092548] * 2, 0.315392, 1.092548, 0.546274]
)  # to the orthonormal basis


@dataclass(frozen=True)
class Light:
    """Light of T frames."""

    soft: NDArray[np.float32]
    """(T, 9, 3) irradiance of surroundings and fill."""
    key: NDArray[np.float32]
    """(T, 9, 3) irradiance of the key lamp where nothing shadows it."""
    towards: NDArray[np.float32]
    """(T, 3) unit direction to the key lamp, camera axes."""
    glint: NDArray[np.float32]
    """(T, 3) colour of the key lamp's highlights."""

    @property
    def harmonics(self) -> NDArray[np.float32]:
        """(T, 9, 3) all irradiance on an unshadowed normal."""
        return self.soft + self.key

    def part(self, index: NDArray[np.int64]) -> Light:
        """The light of some frames."""
        return Light(self.soft[index], self.key[index], self.towards[index], self.glint[index])


def lamp(direction: Floats, colour: Floats) -> Floats:
    """(..., 3) unit directions to far lamps and (..., 3) colours -> (..., 9, 3): ``colour`` on what faces them."""
    return (np.pi * _LOBE * _NORM**2 * harmonics(direction))[..., None] * np.asarray(colour)[..., None, :]


def invent_light(rng: np.random.Generator, frames: int) -> Light:
    """A room for ``frames`` frames at 25 fps: key in front or at the side, warm or cool, steady or slowly changing."""
    warmth = rng.uniform(-0.22, 0.22)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    side, above = np.radians(rng.uniform(-75, 75)), np.radians(rng.uniform(-8, 60))
    strength = rng.uniform(0.4, 1.1)
    steady = rng.random() < 0.6
    drift = (0.0 if steady else 0.12) * wander(rng, frames, 3.0)
    flicker = 1 + (0.0 if steady else 0.08) * wander(rng, frames, 1.5)
    towards = np.column_stack(
        [
            np.sin(side + drift) * np.cos(above),
            np.full(frames, -np.sin(above)),
            -np.cos(side + drift) * np.cos(above),
        ]
    )
    key = (strength * flicker)[:, None] * tint
    even = (
        rng.uniform(0.25, 0.6) * (1.25 - 0.5 * strength) * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    )
    fill = np.array([-np.sign(side) * rng.uniform(0.4, 0.9), rng.uniform(-0.5, 0.3), -rng.uniform(0.3, 0.8)])
    soft = np.zeros((9, 3))
    soft[0] = even
    soft += lamp(fill / np.linalg.norm(fill), rng.uniform(0.05, 0.3) * tint[::-1])
    soft += lamp(np.array([0.0, -1.0, 0.0]), 0.25 * even)  # ceilings are brighter than floors
    return Light(
        soft=np.repeat(soft[None], frames, 0).astype(np.float32),
        key=lamp(towards, key).astype(np.float32),
        towards=towards.astype(np.float32),
        glint=key.astype(np.float32),
    )
