"""Colours and features of invented people, from light skin to dark, placed by the landmarks of the mean head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.morphable import MorphableModel
from faces.mouth import LEFT_EYE, RIGHT_EYE
from studio.complexion import Complexion

Floats = NDArray[np.floating]

BROW_UPPER, BROW_LOWER = (336, 296, 334, 293, 300), (285, 295, 282, 283, 276)
"""Landmarks along the brow at positive x, from the middle outwards."""
SKIN_TONES = np.array(
    [[0.80, 0.56, 0.47], [0.66, 0.41, 0.30], [0.46, 0.26, 0.17], [0.26, 0.135, 0.08], [0.13, 0.068, 0.045]]
)
"""Linear albedo of skin from light to dark; people lie between neighbours."""
HAIR_TONES = np.array(
    [
        [0.020, 0.016, 0.014],
        [0.06, 0.035, 0.022],
        [0.13, 0.075, 0.04],
        [0.34, 0.23, 0.12],
        [0.28, 0.10, 0.04],
        [0.36, 0.35, 0.34],
    ]
)
"""Black, dark brown, brown, blond, red, grey."""
IRIS_TONES = np.array(
    [
        [0.05, 0.028, 0.016],
        [0.11, 0.06, 0.03],
        [0.20, 0.17, 0.08],
        [0.17, 0.22, 0.15],
        [0.17, 0.25, 0.36],
        [0.25, 0.29, 0.32],
    ]
)
"""Dark brown, brown, hazel, green, blue, grey."""


def invent_look(rng: np.random.Generator, model: MorphableModel) -> Complexion:
    """Colours and features of somebody."""
    dark = rng.uniform(0, len(SKIN_TONES) - 1)
    skin = np.exp([np.interp(dark, range(len(SKIN_TONES)), np.log(SKIN_TONES[:, c])) for c in range(3)])
    skin = skin * rng.normal(1, 0.04, 3)
    lips = skin * rng.uniform([0.80, 0.50, 0.55], [0.98, 0.72, 0.78])
    if rng.random() < 0.15:  # lipstick
        lips = rng.uniform([0.25, 0.02, 0.03], [0.55, 0.12, 0.16])
    fair = dark < 1.8
    hair = HAIR_TONES[
        rng.choice(6, p=[0.15, 0.25, 0.25, 0.18, 0.07, 0.10] if fair else [0.62, 0.22, 0.06, 0, 0, 0.10])
    ]
    brow = np.minimum(
        hair * rng.uniform(0.7, 1.2), skin * 0.55
    )  # brows stay darker than skin, grey hair or not
    iris = IRIS_TONES[
        rng.choice(6, p=[0.1, 0.2, 0.15, 0.15, 0.25, 0.15] if fair else [0.6, 0.32, 0.08, 0, 0, 0])
    ]
    return Complexion(
        skin=_rgb(skin),
        lips=_rgb(lips),
        hair=_rgb(hair * rng.uniform(0.7, 1.3)),
        iris=_rgb(iris * rng.uniform(0.8, 1.25)),
        white=_rgb(np.array([0.74, 0.70, 0.67]) * rng.uniform(0.85, 1.05)),
        flush=rng.uniform(0.2, 1.4) * (1 - 0.15 * dark),
        freckles=float(rng.random() < 0.25) * rng.uniform(0.4, 1.0) * float(fair),
        socket=rng.uniform(0.4, 1.5),
        mottle=rng.uniform(0.6, 1.8),
        wrinkles=float(rng.random() < 0.5) * rng.uniform(0.1, 1.0),
        stubble=float(rng.random() < 0.35) * rng.uniform(0.2, 0.9),
        brow=rng.uniform(0.5, 1.0),
        brow_tone=_rgb(brow),
        brow_curve=_brow_curve(model, float(rng.normal(0, 1.2)), rng.uniform(0.7, 1.25)),
        lashes=_lash_lines(model),
        hair_cover=1.0 if rng.random() < 0.88 else rng.uniform(0.0, 0.4),
        hairline=rng.uniform(-6, 12),
        iris_radius=rng.uniform(5.6, 6.3),
    )


def _brow_curve(
    model: MorphableModel, lift: float, thickness: float
) -> tuple[tuple[float, float, float], ...]:
    """Brows between the landmarks of their upper and lower edges on the mean head, ``lift`` millimetres higher."""
    points = model.landmark_points(model.mean)
    upper, lower = points[list(BROW_UPPER)], points[list(BROW_LOWER)]
    middle, half = (upper + lower) / 2, thickness * (upper - lower)[:, 1] / 2
    rows = zip(np.abs(middle[:, 0]), middle[:, 1] + lift, half, strict=True)
    return tuple((float(x), float(y), float(max(h, 1.2))) for x, y, h in rows)


def _lash_lines(model: MorphableModel) -> tuple[tuple[tuple[float, float, float], ...], ...]:
    """The upper lids' margins on the mean head, from corner to corner."""
    points = model.landmark_points(model.mean)
    return tuple(
        tuple((float(x), float(y), float(z)) for x, y, z in points[list(ring[: len(ring) // 2 + 1])])
        for ring in (RIGHT_EYE, LEFT_EYE)
    )


def _rgb(tone: Floats) -> tuple[float, float, float]:
    red, green, blue = np.clip(tone, 0.005, 0.95)
    return float(red), float(green), float(blue)
