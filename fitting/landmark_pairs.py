"""Where the face detector sees its landmarks on the render of a head, and which points of two heads belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.camera import Camera, to_camera
from faces.morphable import SKIN
from faces.mouth import FACE_OVAL, LEFT_EYE, LIPS_INNER, RIGHT_EYE
from faces.raster import rasterize
from fitting.closest import Floats, vertex_normals
from fitting.landmarks import FaceLandmarker
from fitting.windows import IRISES

PICTURE = 640
"""Side in pixels of the picture that the detector looks at."""


@dataclass(frozen=True)
class Detected:
    """The detector's landmarks on a mesh."""

    usable: NDArray[np.int64]
    """Those that can be trusted."""
    corners: NDArray[np.int64]
    """(478, 3) vertices round each."""
    weights: Floats
    """(478, 3) their weights."""


@dataclass(frozen=True)
class Pairs:
    """Points of the two heads that the detector takes for the same landmark."""

    our_corners: NDArray[np.int64]
    """(N, 3) vertices of the shipped head round each point; its weights follow, then the same of the other head."""
    our_weights: Floats
    their_corners: NDArray[np.int64]
    their_weights: Floats

    @classmethod
    def of(cls, ours: Detected, theirs: Detected) -> Pairs:
        """Those that both heads show."""
        both = np.intersect1d(ours.usable, theirs.usable)
        return cls(ours.corners[both], ours.weights[both], theirs.corners[both], theirs.weights[both])

    def ours(self, vertices: NDArray[Any]) -> Floats:
        """(N, 3) on the shipped head."""
        points: Floats = np.einsum("nk,nkd->nd", self.our_weights, vertices[self.our_corners])
        return points

    def theirs(self, vertices: Floats) -> Floats:
        """(N, 3) on the other."""
        points: Floats = np.einsum("nk,nkd->nd", self.their_weights, vertices[self.their_corners])
        return points


def detect(
    mean: Floats, triangles: NDArray[np.int32], part: NDArray[np.uint8], albedo: NDArray[np.float32] | None
) -> Detected | None:
    """The detector's landmarks on a frontal render of a head; None if it sees no face, or too little of it.

    Args:
        mean: (V, 3) millimetres, head axes.
        triangles: (F, 3).
        part: (F,) parts of ``faces.morphable``.
        albedo: (V, 3) in [0, 1]; None for one colour.
    """
    colour = np.tile([0.72, 0.53, 0.43], (len(mean), 1)) if albedo is None else albedo
    camera = Camera.for_image(PICTURE, PICTURE, 2.0)
    vertices = to_camera(mean, np.zeros(3), np.array([0.0, -15.0, 800.0]))
    fragments = rasterize(
        np.column_stack([camera.project(vertices), vertices[:, 2]]), triangles, (PICTURE, PICTURE)
    )
    normals = vertex_normals(vertices, triangles)
    values = fragments.interpolate(np.column_stack([colour, normals]).astype(np.float32), triangles)
    light = np.array([0.35, -0.45, -0.82]) / np.linalg.norm([0.35, 0.45, 0.82])
    shading = 0.34 + 0.8 * np.clip(values[..., 3:] @ light, 0, 1)
    covered = fragments.triangle >= 0
    image = np.full((PICTURE, PICTURE, 3), 0.5)
    image[covered] = np.clip(values[..., :3] * shading[..., None], 0, 1)[covered]
    with FaceLandmarker(still=True, min_confidence=0.2) as landmarker:
        faces = landmarker.detect((255 * image).astype(np.uint8))
    if not faces:
        return None
    at = np.floor(faces[0][:, :2]).astype(int).clip(0, PICTURE - 1)
    triangle = fragments.triangle[at[:, 1], at[:, 0]].astype(np.int64)
    weights = fragments.barycentric[at[:, 1], at[:, 0]].astype(np.float64)
    # The silhouette is guessed, inner lips and lids lie on edges, and there may be no eyes.
    doubtful = [*FACE_OVAL, *LIPS_INNER, *RIGHT_EYE, *LEFT_EYE, *IRISES]
    usable = np.setdiff1d(np.nonzero(triangle >= 0)[0], doubtful)
    facing = normals[triangles[triangle]].mean(1)[:, 2] < -0.5
    usable = usable[facing[usable] & (part[triangle[usable]] == SKIN)]
    if len(usable) < 100:
        return None
    return Detected(usable, triangles[triangle].astype(np.int64), weights)
