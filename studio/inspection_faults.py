"""Faults put into good pictures on purpose, to see from which severity on inspection names them.

Sizes are parts of the distance between the outer eye corners, so that a fault is as bad in a small picture as in a
large one. Light is changed in linear light, as a cloud or an exposure control would.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.mouth import LIPS, inter_ocular_distance

Image = NDArray[np.uint8]
Mesh = NDArray[np.float32]

_GAMMA = 2.2
_PLACES = {"mouth": tuple(LIPS), "cheek": (50, 101, 118, 205)}
_CHEEKS = (50, 101, 205, 280, 330, 425)


def lit(image: Image, stops: float, red: float = 0.0) -> Image:
    """(h, w, 3) RGB with its light changed by ``stops``, and red by ``red`` stops more."""
    gain = 2.0 ** (np.array([stops + red, stops, stops]) / _GAMMA)
    return np.clip(image * gain + 0.5, 0, 255).astype(np.uint8)


def shaken(image: Image, mesh: Mesh, length: float, angle_deg: float) -> Image:
    """The picture blurred along a line of ``length`` inter-ocular distances."""
    pixels = max(1.0, length * float(inter_ocular_distance(mesh[:, :2])))
    side = 2 * int(np.ceil(pixels / 2)) + 3
    kernel = np.zeros((side, side), np.float32)
    angle, centre = np.radians(angle_deg), side // 2
    for step in np.linspace(-pixels / 2, pixels / 2, 8 * side):
        x, y = centre + step * np.cos(angle), centre + step * np.sin(angle)
        column, row = int(x), int(y)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            kernel[row + dy, column + dx] += (1 - abs(x - column - dx)) * (1 - abs(y - row - dy))
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def unfocused(image: Image, mesh: Mesh, radius: float) -> Image:
    """The picture blurred by a Gaussian of ``radius`` inter-ocular distances."""
    sigma = radius * float(inter_ocular_distance(mesh[:, :2]))
    return cv2.GaussianBlur(image, (0, 0), sigma)


def with_hand(image: Image, mesh: Mesh, place: str, width: float) -> Image:
    """Four fingers of the person's own skin over the mouth or a cheek, ``width`` inter-ocular distances wide."""
    size = width * float(inter_ocular_distance(mesh[:, :2]))
    y, x = _around(image, mesh, place, size, tilt_deg=18.0)
    skin = np.median([_colour(image, mesh[n]) for n in _CHEEKS], axis=0)
    number = np.floor((x + 0.5) * 4)
    across = 2 * ((x + 0.5) * 4 - number) - 1  # -1..1 over each of four fingers
    along = y + 0.62 + 0.05 * (number - 1.3) ** 2  # from the finger's tip
    tip = np.hypot(across, np.minimum(along * 8 - 1, 0))  # a half circle
    palm = np.clip((along - 0.75) / 0.15, 0, 1)
    wide = 0.5 + 0.12 * np.clip(y - 0.2, 0, 0.4) - 0.35 * np.clip(y - 0.75, 0, 0.5)
    inside = (along > 0) & (y < 2.2) & (np.abs(x) < wide) & ((tip < 1) | (along > 0.125))
    nail = 0.12 * ((np.abs(across) < 0.5) & (along > 0.03) & (along < 0.14))
    rounded = np.sqrt(np.clip(1 - across**2, 0, 1)) * (1 - palm) + palm
    knuckles = 0.04 * np.exp(-(((along - 0.42) / 0.03) ** 2)) * (1 - palm)
    shade = 0.55 + 0.45 * rounded + nail - knuckles
    return _laid_over(image, inside, skin * shade[..., None], size)


def with_microphone(image: Image, mesh: Mesh, place: str, width: float) -> Image:
    """A ball of dark grey foam or mesh on a stick, ``width`` inter-ocular distances wide."""
    size = width * float(inter_ocular_distance(mesh[:, :2]))
    y, x = _around(image, mesh, place, size, tilt_deg=-12.0)
    radius = 2 * np.hypot(x, y)
    stick = (np.abs(x) < 0.16) & (y > 0)
    ball = np.sqrt(np.clip(1 - radius**2, 0, 1))
    weave = 0.8 + 0.2 * np.sin(40 * x) * np.sin(40 * y)
    grey = np.where(
        radius < 1, (30 + 60 * ball * np.clip(0.8 - y - x, 0, 1)) * weave, 35 + 30 * np.cos(8 * x)
    )
    return _laid_over(image, (radius < 1) | stick, np.repeat(grey[..., None], 3, 2), size)


def _around(
    image: Image, mesh: Mesh, place: str, size: float, tilt_deg: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w) coordinates (down, across) about a place of the face, 1 = ``size`` pixels, turned by ``tilt_deg``."""
    centre = mesh[list(_PLACES[place]), :2].mean(0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32) + 0.5
    x, y = (columns - centre[0]) / size, (rows - centre[1]) / size
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    return -sine * x + cosine * y, cosine * x + sine * y


def _colour(image: Image, at: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean colour of 5 x 5 pixels."""
    x, y = (int(np.clip(at[n], 2, image.shape[1 - n] - 3)) for n in (0, 1))
    return image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0)


def _laid_over(image: Image, inside: NDArray[np.bool_], colour: NDArray[np.float64], size: float) -> Image:
    """``colour`` where ``inside``, with a soft edge."""
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), max(0.6, 0.01 * size))[..., None]
    return np.clip(image * (1 - alpha) + colour * alpha + 0.5, 0, 255).astype(np.uint8)
