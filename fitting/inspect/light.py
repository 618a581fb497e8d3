"""How the light on a face changes over a clip, read from the skin's colour on the face chart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fitting.inspect.chart import FaceChart

Floats = NDArray[np.float64]

REGIONS = ("forehead", "nose", "right_cheek", "left_cheek", "chin")
_STEP_WINDOW = 3  # samples
_LEAST_TURN_DEG = 10.0
_DRIFT_WINDOW = 0.06  # of the clip


def stops(charts: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(...) uint8 sRGB -> (...) log2 of linear light; the offset keeps noise in the dark small."""
    table = np.log2((np.arange(256) / 255.0) ** 2.2 + 0.01)
    return table.astype(np.float32)[charts]


def light_curve(charts: NDArray[np.uint8], chart: FaceChart) -> Floats:
    """Light of each frame against the clip's median.

    Every part of the face gives one curve, and the median of them counts: a turned head darkens one cheek and brightens
    the other, a hand covers one part, but a cloud darkens all.

    Args:
        charts: (T, H, W, 3) uint8 RGB of T frames, T > 0.
        chart: says where forehead, nose, cheeks and chin lie.

    Returns:
        (T, 3) stops (log2 of light): brightness, red over green, blue over green.
    """
    parts = np.stack([stops(charts[:, chart.regions[name]]).mean(1) for name in REGIONS])  # (R, T, 3)
    curves = parts.astype(np.float64)
    brightness, red, blue = curves.mean(-1), curves[..., 0] - curves[..., 1], curves[..., 2] - curves[..., 1]
    readings = np.stack([brightness, red, blue], -1)
    return np.median(readings - np.median(readings, axis=1, keepdims=True), axis=0)


def without_turns(curve: Floats, yaw: Floats, pitch: Floats) -> Floats:
    """The light's own changes: what goes with the head's pose is taken out.

    A head that turns towards a lamp gets brighter in all its parts, though the light stays the same. How much is
    learned from one frame to the next by robust least squares: there pose changes far more than slow light does.

    Args:
        curve: (T, C) stops.
        yaw: (T,) degrees.
        pitch: (T,) degrees.

    Returns:
        (T, C) stops; the curve itself where the head turns and nods by less than 10 degrees or T is under 12.
    """
    poses = np.column_stack([yaw, pitch, yaw * np.abs(yaw) / 30, yaw**2 / 30])
    if (
        len(curve) < 12
        or np.ptp(np.percentile(poses[:, :2], [5, 95], axis=0), axis=0).max() < _LEAST_TURN_DEG
    ):
        return curve
    poses = (poses - poses.mean(0)) / 30
    moves, changes = np.diff(poses, axis=0), np.diff(curve, axis=0)
    weight = np.ones(len(moves))
    for _ in range(6):  # changes that fit badly (a jump, a hand) count less
        fit = np.linalg.lstsq(moves * weight[:, None], changes * weight[:, None], rcond=None)[0]
        rest = np.linalg.norm(changes - moves @ fit, axis=1)
        weight = 1 / (1 + (rest / (1e-3 + 2 * np.median(rest))) ** 2)
    return curve - poses @ fit


def light_steps(curve: Floats) -> Floats:
    """(T, C) -> (T,) stops by which the light differs in a frame from just before, or flashes against its neighbours.

    A step counts in full where it happens within one sample; what takes several samples counts little.
    """
    steps = np.zeros(len(curve))
    for k in range(1, len(curve)):
        before, after = (
            np.median(part, axis=0)
            for part in (curve[max(0, k - _STEP_WINDOW) : k], curve[k : k + _STEP_WINDOW])
        )
        lasting = np.abs(after - before)
        sudden = np.abs(curve[k] - curve[k - 1])
        around = np.median(np.delete(curve, k, 0)[max(0, k - _STEP_WINDOW) : k + _STEP_WINDOW], axis=0)
        flash = np.abs(curve[k] - around) if 0 < k < len(curve) - 1 else np.zeros_like(sudden)
        steps[k] = np.maximum(np.minimum(lasting, sudden), np.minimum(flash, sudden)).max()
    return steps


def light_drift(curve: Floats) -> float:
    """(T, C) -> stops between the darkest and the brightest (or reddest, bluest) stretch of the clip."""
    half = max(1, round(_DRIFT_WINDOW * len(curve) / 2))
    smooth = np.array([np.median(curve[max(0, k - half) : k + half + 1], axis=0) for k in range(len(curve))])
    low, high = np.percentile(smooth, [2, 98], axis=0)
    return float((high - low).max())
