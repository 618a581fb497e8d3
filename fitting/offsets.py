"""Spreading a person's own offsets over the skin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from faces.morphable import EYES, INNER_MOUTH, SKIN, MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE
from fitting.landmarks import LANDMARKS
from fitting.windows import IRISES

Floats = NDArray[np.float64]


class SkinLaplacian:
    """How the skin bends: its own connectivity carries a displacement, so lips and lids stay independent."""

    def __init__(self, model: MorphableModel) -> None:
        skin_triangles = model.triangles[np.isin(model.triangle_part, (SKIN, INNER_MOUTH))]
        self.vertices = np.unique(skin_triangles)
        """(S,) the model's vertices on the skin."""
        self.renumber = np.full(model.vertex_count, -1)
        """(V,) place of each vertex among them, -1 elsewhere."""
        self.renumber[self.vertices] = np.arange(len(self.vertices))
        local = self.renumber[skin_triangles]
        edges = np.concatenate([local[:, [0, 1]], local[:, [1, 2]], local[:, [2, 0]]])
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        count = len(self.vertices)
        length = np.linalg.norm(
            model.mean[self.vertices[edges[:, 0]]] - model.mean[self.vertices[edges[:, 1]]], axis=1
        )
        stiffness = 5.0 / np.maximum(length, 0.5)  # near vertices move together
        adjacency = sparse.coo_matrix((stiffness, (edges[:, 0], edges[:, 1])), (count, count))
        adjacency = adjacency + adjacency.T
        degree = np.asarray(adjacency.sum(1)).ravel()
        laplacian = sparse.diags(1.0 / degree) @ (sparse.diags(degree) - adjacency)
        # A biharmonic field runs away where nothing holds it (neck, back of the head): calm it with the distance.
        marks = np.delete(model.landmark_points(model.mean), list(IRISES), axis=0)
        reach = cKDTree(marks).query(model.mean[self.vertices])[0]
        calm = 1e-5 + 0.05 * np.clip((reach - 8.0) / 40.0, 0.0, 1.0) ** 2
        self.bending: Any = (laplacian.T @ laplacian + sparse.diags(calm)).tocsc()
        """(S, S) the energy of a field over the skin."""


class OffsetSpreader:
    """Spread (478, 3) landmark offsets over all vertices: biharmonic on the skin, followed by what lies inside.

    The two lips and the two lids stay independent; eyeballs follow their lids' mean and teeth the skin round the
    mouth, rigidly.
    """

    pull = 3.0
    """Weight of a landmark's offset against the bending of the field."""

    def __init__(self, model: MorphableModel) -> None:
        self.model, self.skin = model, SkinLaplacian(model)
        corners = self.skin.renumber[
            model.triangles[model.landmark_triangles]
        ]  # (478, 3), -1 where not on the skin
        self.used = [n for n in range(LANDMARKS) if n not in IRISES and corners[n].min() >= 0]
        shares = model.landmark_barycentric[self.used].ravel().astype(np.float64)
        places = np.repeat(np.arange(len(self.used)), 3), corners[self.used].ravel()
        shape = (len(self.used), len(self.skin.vertices))
        self.picks = sparse.coo_matrix((shares, places), shape).tocsr()
        self.factor = splu((self.skin.bending + self.pull * self.picks.T @ self.picks).tocsc())

    def __call__(self, landmark_offsets: Floats) -> Floats:
        """(478, 3) -> (V, 3) millimetres."""
        offsets = np.zeros((self.model.vertex_count, 3))
        wanted = self.pull * (self.picks.T @ landmark_offsets[self.used])
        offsets[self.skin.vertices] = self.factor.solve(wanted)
        follow_lids_and_lips(self.model, offsets, landmark_offsets)
        return offsets


def follow_lids_and_lips(model: MorphableModel, offsets: Floats, marks: Floats) -> None:
    """Eyeballs take their lids' mean offset and teeth that of the lips, rigidly; in place."""
    for eye, ring in zip(model.eyeballs, (RIGHT_EYE, LEFT_EYE), strict=True):
        offsets[eye] = marks[list(ring)].mean(0)
    inside = ~np.isin(model.vertex_part, (SKIN, EYES, INNER_MOUTH))
    offsets[inside] = marks[list(LIPS)].mean(0)
