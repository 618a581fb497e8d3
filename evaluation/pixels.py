"""How close two pictures are, pixel by pixel, and how sharp one is. Pictures are uint8 RGB, levels 0..255."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.regions import Box

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

PSNR_CAP_DB = 100.0
"""PSNR of identical pictures, which is infinite by its formula and would make every mean infinite."""
_WINDOW, _SIGMA = 11, 1.5
_LUMA = np.array([[0.299, 0.587, 0.114]])


def luma(image: Image) -> Floats:
    """(H, W, 3) uint8 RGB -> (H, W) float64 luma 0..255 (ITU-R BT.601 weights, not rounded)."""
    return cv2.transform(image.astype(np.float64), _LUMA).astype(np.float64, copy=False)


def psnr(real: Image, generated: Image, where: Box | NDArray[np.bool_]) -> float:
    """Peak signal-to-noise ratio inside a region, in dB: 10 log10(255^2 / MSE) over its pixels and RGB
    channels.

    Range: 0 (black against white) to :data:`PSNR_CAP_DB` (identical); higher is better. NaN if the region is
    empty.

    Args:
        real: (H, W, 3) uint8 RGB.
        generated: (H, W, 3) uint8 RGB of the same size.
        where: a :class:`Box`, or an (H, W) mask, True where pixels count.
    """
    if isinstance(where, Box):
        a, b = where.cut(real), where.cut(generated)
    else:
        a, b = real[where], generated[where]
    if a.size == 0:
        return math.nan
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return PSNR_CAP_DB if error == 0 else min(PSNR_CAP_DB, 10 * math.log10(255.0**2 / error))


def _blur(image: Floats) -> Floats:
    return cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA).astype(np.float64)


def ssim(real: Image, generated: Image, box: Box) -> float:
    """Structural similarity inside a box: mean of the SSIM map of the luma, Gaussian window 11x11 with sigma
    1.5.

    K1 = 0.01, K2 = 0.03, L = 255; only windows that lie wholly inside the box count. Range -1..1
    (identical), higher is better; NaN when the box is smaller than one window. Source: Wang, Bovik, Sheikh,
    Simoncelli, "Image quality
    assessment: from error visibility to structural similarity", IEEE TIP 13(4), 2004.
    """
    x, y = luma(box.cut(real)), luma(box.cut(generated))
    if min(x.shape) < _WINDOW:
        return math.nan
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    index = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    edge = _WINDOW // 2
    return float(index[edge:-edge, edge:-edge].mean())


def sharpness(image: Image, box: Box) -> float:
    """Energy of fine detail inside a box: mean square of the luma's Laplacian (4-neighbour), in squared
    levels.

    0 for a flat picture, higher is sharper (noise counts as well). A ratio of two sharpnesses falls with the
    fourth power of frequency, so a mild blur shows. Source: the Laplacian-energy focus measure, e.g. Pertuz,
    Puig, Garcia, "Analysis of focus measure operators for shape-from-focus", Pattern Recognition 46(5),
    2013. NaN if empty.
    """
    part: NDArray[Any] = luma(box.cut(image))
    if min(part.shape) < 3:
        return math.nan
    response = cv2.Laplacian(part, cv2.CV_64F, ksize=1)[1:-1, 1:-1]
    return float(np.mean(response**2))
