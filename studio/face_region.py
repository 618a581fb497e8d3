"""Which vertices of a head are its face: what landmarks reach, and what errors of a fit are measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from faces.morphable import SKIN, MorphableModel

_IRISES = 468
_REACH_MM = 7.0


def face_region(model: MorphableModel) -> NDArray[np.bool_]:
    """(V,) True on the skin between the ears, from the chin to the middle of the forehead.

    These are the skin vertices within 7 mm of one of the 468 face landmarks on the mean head, so the choice follows
    the model whatever its mesh. Inside of the mouth, eyeballs, ears, scalp and neck are out.
    """
    landmarks = model.landmark_points(model.mean)[:_IRISES]
    distance, _ = cKDTree(landmarks).query(model.mean)
    return (model.vertex_part == SKIN) & (distance < _REACH_MM)
