"""What a foreign model lacks, taken from the shipped head that lies over it: eyeballs, teeth, tongue, inner mouth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE
from fitting.closest import Floats
from fitting.registration import Registration, laplacian

RINGS = (RIGHT_EYE, LEFT_EYE)


@dataclass
class Mesh:
    """The model while it is put together."""

    vertices: Floats  # (V, 3)
    identity: NDArray[Any]  # (V, 3, K)
    expression: Floats  # (V, 3, E)
    albedo: Floats  # (V, 3)
    triangles: NDArray[np.int64]  # (F, 3)
    part: NDArray[np.uint8]  # (F,)

    def append(self, other: Mesh) -> None:
        """Add vertices and triangles; ``other``'s triangles already count from this mesh's first vertex."""
        for name in ("vertices", "identity", "expression", "albedo", "triangles", "part"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))


def open_eyes(mesh: Mesh, triangle: NDArray[np.int64], weights: Floats) -> int:
    """Cut out what lies between the lids: scanned models close the eye with skin that is painted as an eyeball."""
    if (mesh.part == EYES).any():
        return 0
    points = np.einsum("lk,lkd->ld", weights, mesh.vertices[mesh.triangles[triangle]])
    corners = mesh.vertices[mesh.triangles]
    middle = corners.mean(1)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # z: twice the seen area
    cut = np.zeros(len(mesh.triangles), bool)
    for ring in RINGS:
        border = points[list(ring)]
        centre = border.mean(0)
        lids = (border - centre)[:, :2]
        near = np.linalg.norm(middle - centre, axis=1) < 1.2 * np.linalg.norm(border - centre, axis=1).max()
        level = middle[:, 2] > border[:, 2].mean() - 3.0  # a socket behind the eyeball lies deeper
        seen = near & level & (mesh.part == SKIN) & (normal[:, 2] > 0)
        inner = seen & _in_polygon(middle[:, :2] - centre[:2], 0.6 * lids)
        if normal[inner, 2].sum() / 2 > 0.5 * _area(0.6 * lids):  # an open eye has only the lids' folds there
            cut |= seen & _in_polygon(middle[:, :2] - centre[:2], 0.94 * lids)
    mesh.triangles, mesh.part = mesh.triangles[~cut], mesh.part[~cut]
    return int(cut.sum())


def _area(polygon: Floats) -> float:
    x, y = polygon.T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def _in_polygon(points: Floats, polygon: Floats) -> NDArray[np.bool_]:
    inside = np.zeros(len(points), bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        rise = b[1] - a[1] if abs(b[1] - a[1]) > 1e-9 else 1e-9
        inside ^= crosses & (points[:, 0] < a[0] + (points[:, 1] - a[1]) / rise * (b[0] - a[0]))
    return inside


def complete(
    mesh: Mesh,
    triangle: NDArray[np.int64],
    weights: Floats,
    laid: Registration,
    head: MorphableModel,
    weld: float,
) -> tuple[str, ...]:
    """Add the parts that the model lacks, and say which."""
    rows = np.einsum("lk,lkdc->ldc", weights, mesh.identity[mesh.triangles[triangle]])  # (478, 3, K)
    added = []
    names = {EYES: "eyeballs", TEETH: "teeth", TONGUE: "tongue"}
    absent = [part for part in names if not (mesh.part == part).any()]
    socket = not (mesh.part == INNER_MOUTH).any()
    if socket:
        mesh.append(_inner_mouth(mesh, laid, head, weld))
        added.append("inner mouth")
    for part in absent:
        own = head.triangles[head.triangle_part == part]
        used = np.unique(own)
        follow = np.repeat(rows[list(LIPS)].mean(0)[None], len(used), axis=0)
        if part == EYES:
            for eye, ring in zip(head.eyeballs, RINGS, strict=True):
                follow[np.isin(used, eye)] = rows[list(ring)].mean(0)
        mesh.append(Mesh(
            laid.shipped[used], follow.astype(mesh.identity.dtype),
            laid.scale * head.expression_basis[used].astype(np.float64), head.albedo[used].astype(np.float64),
            np.searchsorted(used, own) + len(mesh.vertices), np.full(len(own), part, np.uint8),
        ))  # fmt: skip
        added.append(names[part])
    return tuple(added)


def _inner_mouth(mesh: Mesh, laid: Registration, head: MorphableModel, weld: float) -> Mesh:
    """The shipped head's, its border joined to the nearest vertices of the lips that move alike."""
    own = head.triangles[head.triangle_part == INNER_MOUTH]
    ends = np.concatenate([own[:, :2], own[:, 1:]]).T
    graph = sparse.coo_matrix((np.ones(ends.shape[1]), ends), (head.vertex_count,) * 2)
    piece = connected_components(graph, directed=False)[1][own[:, 0]]
    own = own[piece == np.bincount(piece).argmax()]  # the nostrils count as inside too, and need no lining
    used = np.unique(own)
    border = np.nonzero(np.isin(used, head.triangles[head.triangle_part == SKIN]))[0]
    lips = np.unique(mesh.triangles[mesh.part == SKIN])
    jaw = head.expression_index("jawOpen")
    moved = laid.scale * head.expression_basis[used].astype(np.float64)
    tree = cKDTree(np.column_stack([mesh.vertices[lips], 0.3 * mesh.expression[lips][..., jaw]]))
    gap, near = tree.query(np.column_stack([laid.shipped[used[border]], 0.3 * moved[border][..., jaw]]))
    joined, partner = border[gap < weld], lips[near[gap < weld]]
    local = np.searchsorted(used, own)
    shape = (len(used), 3)
    fixed = np.zeros((len(joined), 3, 1 + mesh.expression.shape[-1] + mesh.identity.shape[-1]))
    fixed[..., 0] = mesh.vertices[partner] - laid.shipped[used[joined]]
    split = 1 + mesh.expression.shape[-1]
    fixed[..., 1:split] = mesh.expression[partner] - moved[joined]
    fixed[..., split:] = mesh.identity[partner]
    smooth = laplacian(laid.shipped[used], local)
    hold = np.zeros(len(used))
    hold[joined] = 1e3
    right = np.zeros((len(used), 3 * fixed.shape[-1]))
    right[joined] = 1e3 * fixed.reshape(len(joined), -1)
    system = smooth.T @ smooth + sparse.diags(hold + 1e-6)
    spread = splu(system.tocsc()).solve(right).reshape(*shape, -1)
    index = np.arange(len(used)) + len(mesh.vertices)
    index[joined] = partner
    triangles = index[local]
    a, b, c = triangles.T
    proper = (a != b) & (b != c) & (a != c)
    return Mesh(
        laid.shipped[used] + spread[..., 0], spread[..., split:].astype(mesh.identity.dtype),
        moved + spread[..., 1:split], head.albedo[used].astype(np.float64), triangles[proper],
        np.full(int(proper.sum()), INNER_MOUTH, np.uint8),
    )  # fmt: skip
