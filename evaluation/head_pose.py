"""Head pose of a landmark track, and how alike two clips' head motions are as distributions.

The pose is solved from the landmarks with one generic 3D face (the morphable model's mean) for every clip
and both sides, not taken from the product's fitted track: a fit that errs then can't hide its error, and any
video can be measured. The generic face's error is a nearly constant offset that both sides share.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from evaluation.landmark_motion import RIGID
from evaluation.regions import visible
from faces.camera import HEAD_TO_CAMERA, Camera
from faces.morphable import MorphableModel
from faces.rotation import euler_from_rotvec, log_map

Floats = NDArray[np.float64]

HS_RANGE_DEG = 90.0
"""Normaliser of :func:`head_pose_similarity`: about the span from profile to the middle that a tracked head
can turn. The papers leave it open; it is fixed here so that figures of different clips can be compared."""

_NO_DISTORTION = np.zeros(4)


@lru_cache(maxsize=1)
def generic_points() -> Floats:
    """(478, 3) millimetres in the head frame: the landmarks of the morphable model's mean, neutral face."""
    model = MorphableModel.load()
    return np.asarray(model.landmark_points(model.mean), np.float64)


def head_angles(landmarks: NDArray[Any], camera: Camera, points: NDArray[Any] | None = None) -> Floats:
    """Euler angles of the head in each frame by perspective-n-point on the rigid landmarks.

    SQPnP (Terzakis and Lourakis, ECCV 2020), refined by Levenberg-Marquardt on the reprojection error; each
    frame is solved alone, so no smoothing hides jitter.

    Args:
        landmarks: (T, 478, 2) pixels, NaN where no face was found.
        camera: assumed camera; ``Camera.for_image`` for an unknown lens.
        points: (478, 3) millimetres in the head frame; None takes :func:`generic_points`.

    Returns:
        (T, 3) degrees pitch, yaw, roll as in ``faces.rotation``; NaN where there is no face.
    """
    rigid = list(RIGID)
    face = np.ascontiguousarray(
        (generic_points() if points is None else np.asarray(points, np.float64))[rigid]
    )
    matrix = np.array([[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1]], np.float64)
    angles = np.full((len(landmarks), 3), np.nan)
    for frame in np.flatnonzero(visible(landmarks)):
        seen = np.ascontiguousarray(landmarks[frame][rigid], np.float64)
        solved, rotation, translation = cv2.solvePnP(
            face, seen, matrix, _NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP
        )
        if not solved:
            continue
        rotation, _ = cv2.solvePnPRefineLM(face, seen, matrix, _NO_DISTORTION, rotation, translation)
        in_head_frame = HEAD_TO_CAMERA.T @ cv2.Rodrigues(rotation)[0]
        angles[frame] = euler_from_rotvec(log_map(in_head_frame))
    return angles


def pose_distance(real: NDArray[Any], generated: NDArray[Any]) -> float:
    """1-Wasserstein distance of the Euler angles' distributions, mean of the three axes, in degrees (0 =
    alike).

    Order in time does not count: this asks whether the head visits the same angles as often, not at the same
    moments.

    Args:
        real: (T, 3) degrees, NaN rows are skipped.
        generated: (S, 3) degrees.
    """
    a, b = real[np.isfinite(real).all(axis=1)], generated[np.isfinite(generated).all(axis=1)]
    if not len(a) or not len(b):
        return math.nan
    return float(np.mean([wasserstein_distance(a[:, axis], b[:, axis]) for axis in range(a.shape[1])]))


def head_pose_similarity(real: NDArray[Any], generated: NDArray[Any]) -> float:
    """The papers' HS: 1 - W1 of the Euler-angle distributions, mean of three axes, over :data:`HS_RANGE_DEG`.

    Range 0..1, higher is better. Each axis' W1 is divided by 90 degrees, so .99 means that the distributions
    lie 0.9 degrees apart on average. A frozen head can score well: read it beside :func:`velocity_distance`.
    Source: Yi et al., "Audio-driven talking face video generation with learning-based personalized head
    pose", arXiv 2002.10137.
    """
    return max(0.0, 1.0 - pose_distance(real, generated) / HS_RANGE_DEG)


def velocity_distance(real: NDArray[Any], generated: NDArray[Any], fps: float) -> float:
    """1-Wasserstein distance of the signed angular velocities' distributions, mean of three axes, in
    degrees/second.

    0 = turns as fast as often. A frozen head scores the real head's mean absolute velocity, a head whose
    frames are shuffled in time scores far worse. Only neighbouring frames that both show a face count.
    """
    return pose_distance(np.diff(real, axis=0) * fps, np.diff(generated, axis=0) * fps)
