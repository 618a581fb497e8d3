"""Where the eyes look, from the irises' landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.camera import HEAD_TO_CAMERA, Camera
from faces.morphable import MorphableModel
from faces.mouth import LEFT_IRIS, RIGHT_IRIS
from faces.rotation import exp_map

Floats = NDArray[np.float64]


def solve_gaze(
    model: MorphableModel,
    neutral: NDArray[np.float32],
    camera: Camera,
    rotation: NDArray[np.floating],
    translation: NDArray[np.floating],
    expression: NDArray[np.floating],
    points: NDArray[np.floating],
) -> Floats:
    """(T, 2) radians from the irises' centres: where the ray through the pixel meets the eyeball, both eyes' mean.

    A person's straight-ahead is unknown, so the median over the clip is taken as looking where the face points.

    Args:
        model: the morphable model.
        neutral: (V, 3) the person's neutral head, millimetres.
        camera: the clip's camera.
        rotation: (T, 3) axis-angle.
        translation: (T, 3) millimetres.
        expression: (T, E); frames with closed eyes take the gaze between their neighbours.
        points: (T, 478, 2) observed landmarks, pixels.
    """
    turned = HEAD_TO_CAMERA @ exp_map(rotation)
    angles = []
    for eye, iris in zip(model.eyeballs, (RIGHT_IRIS[0], LEFT_IRIS[0]), strict=True):
        centre = (neutral[eye].min(0) + neutral[eye].max(0)) / 2
        radius = float(np.ptp(neutral[eye], axis=0).max() / 2)
        origin = np.einsum("tij,j->ti", turned, centre) + translation
        ray = np.column_stack(
            [(points[:, iris] - [camera.cx, camera.cy]) / camera.focal, np.ones(len(points))]
        )
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        along = (ray * origin).sum(1)
        nearest = ray * along[:, None]
        miss = np.linalg.norm(nearest - origin, axis=1)
        depth = np.sqrt(np.maximum(radius**2 - np.minimum(miss, 0.9 * radius) ** 2, 0.0))
        direction = nearest - ray * depth[:, None] - origin
        local = np.einsum("tji,tj->ti", turned, direction)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        angles.append(
            np.column_stack([np.arctan2(local[:, 0], local[:, 2]), np.arcsin(local[:, 1].clip(-1, 1))])
        )
    gaze = (angles[0] + angles[1]) / 2
    gaze = gaze - np.median(gaze, axis=0)
    lids = [model.expression_index("eyeBlinkLeft"), model.expression_index("eyeBlinkRight")]
    shut = expression[:, lids].mean(1)
    closed = shut > np.median(shut) + 0.2
    if closed.any() and not closed.all():  # the detector guesses irises behind closed lids
        seen = np.nonzero(~closed)[0]
        for axis in range(2):
            gaze[closed, axis] = np.interp(np.nonzero(closed)[0], seen, gaze[seen, axis])
    return gaze.clip(-0.7, 0.7)
