"""What lies over a face: frames in which a part of it looks unlike the rest of the clip, and lips without colour.

Landmarks do not tell: the mesh goes on drawing a whole face under a hand. Colours on the face chart do. What stays
before the mouth throughout has no clean frame to be compared with; there only the tint can tell, which a grey
microphone lacks and a hand does not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fitting.inspect.chart import FaceChart
from fitting.inspect.light import stops

Floats = NDArray[np.float64]

PARTS = ("mouth", "chin", "right_cheek", "left_cheek", "nose", "forehead")
"""Regions of the chart that are judged one by one."""
CELL_STOPS = 0.5
"""Distance in colour, stops over three channels, from which a cell looks unlike its own usual self."""
_CELL_SPREADS = 4.0  # ... and this many of its usual deviations
_TINT_LEFT = 0.35  # of the skin's saturation: under it a lip has no colour
_LEAST_TINT = 0.06  # chroma over lightness; skin under it is that of a grey picture


def covered_shares(charts: NDArray[np.uint8], chart: FaceChart, curve: Floats) -> dict[str, Floats]:
    """Part of each region that looks covered.

    Args:
        charts: (T, H, W, 3) uint8 RGB, T > 0.
        chart: where the regions lie.
        curve: (T, 3) their light, from :func:`fitting.inspect.light.light_curve`; a change of light covers nothing.

    Returns:
        region -> (T,) share of its cells, 0..1.
    """
    brightness, red, blue = curve.T
    green = brightness - (red + blue) / 3
    light = np.stack([green + red, green, green + blue], -1).astype(np.float32)
    values = stops(charts) - light[:, None, None, :]
    for picture in values:
        picture[:] = cv2.blur(picture, (3, 3))
    away = np.abs(values - np.median(values, axis=0))
    spread = 1.4826 * np.linalg.norm(np.median(away, axis=0), axis=-1)
    odd = np.linalg.norm(away, axis=-1) > np.maximum(CELL_STOPS, _CELL_SPREADS * spread)
    return {name: odd[:, chart.regions[name]].mean(1).astype(np.float64) for name in PARTS}


def colourless_lips(charts: NDArray[np.uint8], chart: FaceChart) -> float | None:
    """(T, H, W, 3) uint8 RGB -> share of the lips, 0..1, whose median colour has not the tint of the cheeks' skin.

    None where the skin itself has none: a grey picture tells nothing.
    """
    usual = np.median(charts, axis=0).astype(np.float32) / 255
    lab = cv2.cvtColor(usual, cv2.COLOR_RGB2LAB)
    tint = lab[..., 1:] / np.maximum(
        lab[..., :1], 5.0
    )  # dark skin has as much tint for its lightness as pale skin
    cheeks = tint[chart.regions["right_cheek"] | chart.regions["left_cheek"]]
    skin = np.median(cheeks, axis=0)
    strength = float(np.linalg.norm(skin))
    if strength < _LEAST_TINT:
        return None
    along = tint[chart.regions["lips"]] @ skin / strength**2
    return float((along < _TINT_LEFT).mean())
