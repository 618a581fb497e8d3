"""Closest points on a triangle mesh, among those that face the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]


def vertex_normals(vertices: NDArray[Any], triangles: NDArray[Any]) -> Floats:
    """(V, 3) unit normals, area weighted; zero where a vertex has no triangle."""
    corners = vertices[triangles].astype(np.float64)
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], face)
    result: Floats = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)
    return result


class Surface:
    """A mesh to look up points on.

    Args:
        vertices: (V, 3) millimetres.
        triangles: (F, 3) those that may be hit.
        traits: (V, C) what else shall match, in millimetres' worth; normals count ``normal_weight`` millimetres.
        candidates: triangles looked at for each point.
    """

    def __init__(
        self,
        vertices: NDArray[Any],
        triangles: NDArray[Any],
        *,
        traits: NDArray[Any] | None = None,
        normal_weight: float = 6.0,
        candidates: int = 12,
    ) -> None:
        self.vertices = vertices.astype(np.float64)
        self.triangles = triangles.astype(np.int64)
        own = normal_weight * vertex_normals(vertices, self.triangles)
        self.traits = own if traits is None else np.column_stack([own, traits])
        self.normal_weight, self.candidates = normal_weight, candidates
        middle = np.full((3, 3), 1 / 6) + np.eye(3) / 2
        shares = np.concatenate([np.full((1, 3), 1 / 3), middle])  # four samples of each triangle
        self._sampled = np.repeat(np.arange(len(self.triangles)), len(shares))
        places = np.einsum("sk,fkd->fsd", shares, self.vertices[self.triangles]).reshape(-1, 3)
        kinds = np.einsum("sk,fkd->fsd", shares, self.traits[self.triangles]).reshape(
            -1, self.traits.shape[1]
        )
        self._tree = cKDTree(np.column_stack([places, kinds]))

    def look_up(
        self, points: NDArray[Any], normals: NDArray[Any], traits: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """The best triangles of each point.

        Returns:
            (N, k) triangles, best first; (N, k, 3) barycentric weights; (N, k) distances in millimetres.
        """
        kind = (
            self.normal_weight * normals
            if traits is None
            else np.column_stack([self.normal_weight * normals, traits])
        )
        count = min(self.candidates, len(self._sampled))
        _, near = self._tree.query(np.column_stack([points, kind]), k=count)
        triangle = self._sampled[near.reshape(len(points), -1)]
        corners = self.vertices[self.triangles[triangle]]  # (N, k, 3, 3)
        weights = closest_weights(points[:, None], corners)
        distance = np.linalg.norm(np.einsum("nkc,nkcd->nkd", weights, corners) - points[:, None], axis=-1)
        found = np.einsum("nkc,nkcd->nkd", weights, self.traits[self.triangles[triangle]])
        cost = distance**2 + ((found - kind[:, None]) ** 2).sum(-1)
        order = np.argsort(cost, axis=1, kind="stable")
        return (
            np.take_along_axis(triangle, order, 1),
            np.take_along_axis(weights, order[..., None], 1),
            np.take_along_axis(distance, order, 1),
        )

    def at(self, triangle: NDArray[Any], weights: NDArray[Any], values: NDArray[Any]) -> Floats:
        """Per-vertex ``values`` (V, ...) at points given as triangles (...) and weights (..., 3)."""
        result: Floats = np.einsum("...k,...kd->...d", weights, values[self.triangles[triangle]])
        return result


def closest_weights(points: Floats, corners: Floats) -> Floats:
    """Barycentric weights (..., 3) of the closest point of triangles ``corners`` (..., 3, 3) to ``points`` (..., 3)."""
    a = corners[..., 0, :]
    ab, ac, ap = corners[..., 1, :] - a, corners[..., 2, :] - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-12)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    best = np.stack([1 - v - w, v, w], -1)
    inside = best.min(-1) >= 0
    shortest = np.full(inside.shape, np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edge = corners[..., second, :] - corners[..., first, :]
        share = ((points - corners[..., first, :]) * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-12)
        share = share.clip(0, 1)
        gap = np.linalg.norm(points - corners[..., first, :] - share[..., None] * edge, axis=-1)
        on_edge = np.zeros_like(best)
        on_edge[..., first], on_edge[..., second] = 1 - share, share
        closer = ~inside & (gap < shortest)
        best = np.where(closer[..., None], on_edge, best)
        shortest = np.where(closer, gap, shortest)
    return best
