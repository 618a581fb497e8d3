"""The face chart: a face's skin brought to one canonical picture by its landmarks, so that frames can be compared.

Every cell of the chart is a fixed point of the shipped head model's surface, between three landmarks. The insides of
the eyes and of the mouth are left out: they change whenever a person blinks or speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from faces.morphable import MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LIPS, LIPS_INNER, LIPS_OUTER, RIGHT_EYE, inter_ocular_distance

SCALE = 40.0
"""Chart cells between the outer eye corners."""
_MESH = 468  # landmarks without irises
_UPPER_LIP, _LOWER_LIP = LIPS_INNER[1:10], LIPS_INNER[11:]
_NOSE_TIP, _RIGHT_CORNER, _LEFT_CORNER = 4, 33, 263


@dataclass(frozen=True)
class FaceChart:
    """Where the cells of an H x W chart lie on the face."""

    corners: NDArray[np.int64]
    """(H, W, 3) landmarks round each cell."""
    weights: NDArray[np.float32]
    """(H, W, 3) their barycentric weights."""
    skin: NDArray[np.bool_]
    """(H, W) cells on skin or lips, away from the face's rim."""
    regions: dict[str, NDArray[np.bool_]]
    """(H, W) parts of ``skin``: forehead, nose, right_cheek, left_cheek (the person's), lips, mouth (lips and what is
    round them), chin."""

    def read(self, image: NDArray[np.uint8], mesh: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Bring a face to the chart.

        Args:
            image: (h, w, 3) RGB.
            mesh: (478, 2 or 3) its landmarks in pixels.

        Returns:
            (H, W, 3) uint8 RGB; cells off the picture repeat its border.
        """
        points = mesh[:, :2].astype(np.float32)
        low = np.floor(np.clip(points.min(0) - 2, 0, np.array(image.shape[1::-1]) - 2)).astype(int)
        high = np.ceil(np.clip(points.max(0) + 3, low + 2, image.shape[1::-1])).astype(int)
        crop = image[low[1] : high[1], low[0] : high[0]]
        shrink = min(1.0, 1.5 * SCALE / max(1.0, float(inter_ocular_distance(points))))
        if shrink < 1:
            crop = cv2.resize(crop, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        places = ((points[self.corners] * self.weights[..., None]).sum(2) - low) * shrink - 0.5
        return cv2.remap(
            crop, places.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


@lru_cache(maxsize=1)
def face_chart() -> FaceChart:
    """The chart of the shipped head model's mean face; about 75 x 55 cells."""
    model = MorphableModel.load()
    flat = model.landmark_points(model.mean)[:_MESH, :2].astype(np.float64) * [1.0, -1.0]
    flat = flat * SCALE / np.linalg.norm(flat[_LEFT_CORNER] - flat[_RIGHT_CORNER])
    flat -= flat.min(0)
    width, height = np.ceil(flat.max(0)).astype(int)
    mesh = Delaunay(flat)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    cells = np.stack([x, y], -1)
    simplex = mesh.find_simplex(cells)
    affine = mesh.transform[simplex]
    first = np.einsum("hwij,hwj->hwi", affine[..., :2, :], cells - affine[..., 2, :])
    weights = np.concatenate([first, 1 - first.sum(-1, keepdims=True)], -1)
    corners = mesh.simplices[simplex].astype(np.int64)

    def inside(ring: tuple[int, ...], grow: float = 0.0) -> NDArray[np.bool_]:
        """Cells within the ring of landmarks, widened (or narrowed) by ``grow`` cells."""
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.round(flat[list(ring)]).astype(np.int32)], 1)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(abs(grow)) + 1,) * 2)
        mask = cv2.dilate(mask, kernel) if grow > 0 else cv2.erode(mask, kernel)
        return mask.astype(bool)

    across = np.isin(corners, _UPPER_LIP).any(-1) & np.isin(corners, _LOWER_LIP).any(-1)
    eyes = inside(RIGHT_EYE, 3) | inside(LEFT_EYE, 3)
    skin = inside(FACE_OVAL, -4) & (simplex >= 0) & ~eyes & ~across
    lips = inside(LIPS_OUTER, 0) & ~across
    tip, eye, mouth = flat[_NOSE_TIP], flat[[_RIGHT_CORNER, _LEFT_CORNER]].mean(0), flat[list(LIPS)]
    middle = np.abs(x - tip[0])
    lip_top, lip_bottom = mouth[:, 1].min(), mouth[:, 1].max()
    half = np.ptp(mouth[:, 0]) / 2
    below = y > eye[1] + 0.2 * SCALE
    cheek = below & (y < lip_top + 2) & (middle > 0.27 * SCALE)
    around = (y > tip[1] + 0.12 * SCALE) & (y < lip_bottom + 3) & (middle < half + 4)
    regions = {
        "forehead": (y < eye[1] - 0.35 * SCALE) & (middle < 0.5 * SCALE),
        "nose": below & (y < tip[1] + 2) & (middle < 0.15 * SCALE),
        "right_cheek": cheek & (x < tip[0]),
        "left_cheek": cheek & (x > tip[0]),
        "lips": lips,
        "mouth": around | lips,
        "chin": (y > lip_bottom + 3) & (middle < half + 4),
    }
    return FaceChart(
        corners,
        weights.astype(np.float32),
        skin,
        {name: part & skin for name, part in regions.items()},
    )
