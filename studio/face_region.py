"""Which vertices of a head are its face: what landmarks reach, and what errors of a fit are measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.morphable import SKIN, MorphableModel
from faces.mouth import FACE_OVAL
from faces.ring import inside_ring


def face_region(model: MorphableModel) -> NDArray[np.bool_]:
    """(V,) True on the skin inside the detector's face oval: between the ears, from the chin to the forehead.

    The choice follows the model's landmarks, whatever its mesh. Inside of the mouth, eyeballs, ears, scalp and neck are
    out.
    """
    ring = model.landmark_points(model.mean)[list(FACE_OVAL)]
    return (model.vertex_part == SKIN) & inside_ring(ring, model.mean)
