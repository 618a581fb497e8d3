"""Landmarks that lie on an edge a detector can't see sharply: lid margins, the line where lips meet, irises.

A detector draws the border of lips and lids where colour ends, and casts there hit grazing surfaces. The edges are
read off large frontal pictures instead: lids half closed, where eyeball ends and lid begins, and lips closed, where
they meet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.mouth import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from studio.head_corrections import PIXELS_PER_MM, FrontView
from studio.head_parts import IRIS_RADIUS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
UPPER_LIP_COLUMNS = tuple(zip(
    (185, 40, 39, 37, 0, 267, 269, 270, 409), (184, 74, 73, 72, 11, 302, 303, 304, 408),
    (183, 42, 41, 38, 12, 268, 271, 272, 407), (191, 80, 81, 82, 13, 312, 311, 310, 415), strict=True,
))  # fmt: skip
"""Landmarks from the outer border of the upper lip to its inner margin, one column per position along the mouth."""
LOWER_LIP_COLUMNS = tuple(zip(
    (146, 91, 181, 84, 17, 314, 405, 321, 375), (77, 90, 180, 85, 16, 315, 404, 320, 307),
    (96, 89, 179, 86, 15, 316, 403, 319, 325), (95, 88, 178, 87, 14, 317, 402, 318, 324), strict=True,
))  # fmt: skip
"""The same of the lower lip."""


def lid_margins(
    half_closed: Floats, triangles: Ints, is_eye: Mask, skin: Mask, eyes: Floats, located: Floats
) -> dict[int, tuple[int, Floats]]:
    """Triangle and weights of the 28 lid landmarks.

    Upper and lower landmark of a pair stand over one another, at the mean of where their casts lie, so that they meet
    when the eye is shut.

    Args:
        half_closed: (V, 3) the mean head with half-closed lids.
        is_eye, skin: (F,) which triangles are eyeballs, which outer skin.
        eyes: (2, 3) eye centres.
        located: (478, 3) where casts put the landmarks on the mean head.
    """
    found: dict[int, tuple[int, Floats]] = {}
    for ring, eye in ((RIGHT_EYE, eyes[0]), (LEFT_EYE, eyes[1])):
        view = FrontView(triangles, (eye[0] - 20, eye[0] + 20), (eye[1] - 20, eye[1] + 20))
        ids, weights = view.shown(half_closed)
        open_ = (ids >= 0) & is_eye[np.maximum(ids, 0)]
        covered = np.nonzero(open_.sum(0) >= 0.5 * PIXELS_PER_MM)[0]
        for upper, lower in zip(ring[1:8], ring[:8:-1], strict=True):
            x = (located[upper, 0] + located[lower, 0]) / 2
            # Landmarks in the corner lie where the slit begins.
            column = int(covered[np.abs(covered - view.column(x)).argmin()])
            rows = np.nonzero(open_[:, column])[0]
            for landmark, row in ((upper, rows[0] - 1), (lower, rows[-1] + 1)):
                if not skin[ids[row, column]]:
                    raise RuntimeError(f"no lid was found at landmark {landmark}")
                found[landmark] = int(ids[row, column]), weights[row, column].astype(np.float64)
    return found


def lip_rings(
    closed: Floats, triangles: Ints, upper: Mask, lower: Mask, located: Floats, detected: Floats
) -> dict[int, tuple[int, Floats]]:
    """Triangle and weights of the lips' inner margin, and of the rings between it and the outer border in proportion.

    Args:
        closed: (V, 3) the mean head, lips touching.
        upper, lower: (F,) outer skin that the skull or the jaw carries.
        located: (478, 3) where casts put the landmarks on the mean head.
        detected: (478, 3) mean detection on frontal open mouths, for the rings' proportions.
    """
    middle = (located[13] + located[14]) / 2
    view = FrontView(triangles, (middle[0] - 36, middle[0] + 36), (middle[1] - 24, middle[1] + 24))
    ids, weights = view.shown(closed)
    found: dict[int, tuple[int, Floats]] = {}
    for over, under in zip(UPPER_LIP_COLUMNS, LOWER_LIP_COLUMNS, strict=True):
        column = view.column((located[over[3], 0] + located[under[3], 0]) / 2)
        shown = ids[:, column]
        # From the middle of the upper lip down: the last row of the upper lip, then the first of the lower.
        start = view.row((located[over[0], 1] + located[over[3], 1]) / 2)
        meets = start + int(np.argmax(lower[shown[start:]]))
        last = meets - 1 - int(np.argmax(upper[shown[meets - 1 :: -1]]))
        if meets <= start or meets - last > 2 * PIXELS_PER_MM:
            raise RuntimeError(f"no line was found where the lips meet at landmark {over[3]}")
        for landmarks, row in ((over, last), (under, meets)):
            outer = located[landmarks[0]]
            begin = np.array([view.column(outer[0]), view.row(outer[1])])
            whole = float(np.linalg.norm(detected[landmarks[3], :2] - detected[landmarks[0], :2]))
            for landmark in landmarks[1:]:
                share = float(np.linalg.norm(detected[landmark, :2] - detected[landmarks[0], :2])) / max(
                    whole, 1e-6
                )
                u, v = np.round(begin + min(share, 1.0) * (np.array([column, row]) - begin)).astype(int)
                found[landmark] = int(ids[v, u]), weights[v, u].astype(np.float64)
    return found


def iris_points(eyes: Floats, radius: float, detected: Floats) -> dict[int, Floats]:
    """Iris centres and their four rim points (3,) on eyeballs of ``radius`` about ``eyes`` (2, 3).

    Args:
        detected: (478, 3) a frontal detection in pixels, which tells the rim points apart.
    """
    points: dict[int, Floats] = {}
    rise = float(np.sqrt(radius**2 - IRIS_RADIUS**2))
    for iris, eye in ((RIGHT_IRIS, eyes[0]), (LEFT_IRIS, eyes[1])):
        points[iris[0]] = eye + np.array([0.0, 0.0, radius])
        for landmark in iris[1:]:
            away = detected[landmark, :2] - detected[iris[0], :2]
            across = abs(away[0]) > abs(away[1])
            step = [np.sign(away[0]), 0.0] if across else [0.0, -np.sign(away[1])]
            points[landmark] = eye + np.array([IRIS_RADIUS * step[0], IRIS_RADIUS * step[1], rise])
    return points
