"""Distances between landmark tracks: the lips' shape, and the tremble of the whole face.

Tracks are (T, 478, 2) pixels in MediaPipe's order, NaN where a frame has no face.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.regions import visible
from faces.mouth import LIPS, inter_ocular_distance

Floats = NDArray[np.float64]

RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 9, 8, 151, 10, 54, 284, 103, 332, 127, 356, 98, 327)
"""Landmarks that hardly move with the expression: eye corners, nose, forehead, temples, nose wings."""
_IRISES = 468


def lip_distance(real: NDArray[Any], generated: NDArray[Any], *, centred: bool) -> float:
    """Lip landmark distance (LMD) in % of the real inter-ocular distance; 0 = identical, lower is better.

    Mean over frames and lip landmarks of the distance in image pixels, divided frame by frame by the real
    frame's distance between the outer eye corners (landmarks 33 and 263). Nothing is rotated or scaled.

    Args:
        real: (T, 478, 2) pixels.
        generated: (T, 478, 2) pixels.
        centred: compare the lips' shape, each frame's lips centred on their own mean, as in the LMD of Chen
            et al., "Lip movements generation at a glance", ECCV 2018; False compares positions in the
            picture, so that a head that is elsewhere counts as well.
    """
    lips = list(LIPS)
    both = visible(real) & visible(generated)
    if not both.any():
        return math.nan
    a, b = np.asarray(real[both], np.float64), np.asarray(generated[both], np.float64)
    unit = inter_ocular_distance(a)[:, None]  # (T, 1)
    a, b = a[:, lips], b[:, lips]  # (T, L, 2)
    if centred:
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return float(np.mean(np.linalg.norm(a - b, axis=-1) / unit)) * 100


def head_frame(track: NDArray[Any], template: NDArray[Any]) -> Floats:
    """Landmarks seen from the head: each frame moved, turned and scaled (2D similarity) onto a template.

    Args:
        track: (T, 478, 2) pixels.
        template: (478, 2) points; the least-squares similarity of the :data:`RIGID` landmarks is used.

    Returns:
        (T, 478, 2) in the template's unit, NaN where the frame has no face.
    """
    rigid = list(RIGID)
    points = np.asarray(track, np.float64) @ np.array(
        [1, 1j]
    )  # (T, 478): x + iy makes a similarity one product
    goal = np.asarray(template, np.float64) @ np.array([1, 1j])
    centre, goal_centre = points[:, rigid].mean(axis=1, keepdims=True), goal[rigid].mean()
    here, there = points[:, rigid] - centre, goal[rigid] - goal_centre
    with np.errstate(invalid="ignore"):  # frames without a face are NaN and stay so
        turn = (here.conj() * there).sum(axis=1, keepdims=True) / (abs(here) ** 2).sum(axis=1, keepdims=True)
    moved = (points - centre) * turn + goal_centre
    return np.stack([moved.real, moved.imag], axis=-1)


def jitter(track: NDArray[Any], template: NDArray[Any]) -> float:
    """High-frequency landmark motion relative to the head: RMS of the second difference over time.

    The second difference x[t+1] - 2 x[t] + x[t-1] weighs frame-to-frame tremble 16 times (in power) as much
    as motion at a quarter of the frame rate and hides smooth motion. The head's own motion is taken out by
    :func:`head_frame`. In the template's unit; 0 for a still or evenly moving shape. NaN under three frames
    in a row.
    """
    shape = head_frame(track, template)[:, :_IRISES]
    second = shape[2:] - 2 * shape[1:-1] + shape[:-2]  # (T - 2, 468, 2)
    second = second[np.isfinite(second).all(axis=(1, 2))]
    return float(np.sqrt((second**2).sum(axis=-1).mean())) if len(second) else math.nan


def jitter_ratio(real: NDArray[Any], generated: NDArray[Any]) -> float:
    """:func:`jitter` of the generated frames over that of the real ones, both in the real mean face's frame.

    1 = as steady as the real clip, above = trembling, below = too smooth. NaN when either can't be measured.
    """
    seen = np.asarray(real, np.float64)[visible(real)]
    if not len(seen):
        return math.nan
    template = head_frame(seen, seen[0]).mean(axis=0)
    still = jitter(real, template)
    return jitter(generated, template) / still if still > 0 else math.nan
