"""The shipped head laid over another model's mean: a similarity, then a smooth deformation along its own mesh.

The similarity comes from the face detector on a render of the other head (or from its nose, if no face is found there),
refined by point-to-plane ICP (Chen and Medioni 1992); the deformation is non-rigid ICP with a Laplacian stiffness that
falls from round to round (after Amberg et al., CVPR 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from faces.adapters.foreign import ForeignModel
from faces.morphable import EYES, INNER_MOUTH, SKIN, MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE
from faces.raster import rasterize
from faces.rotation import exp_map
from fitting.closest import Floats, Surface, vertex_normals
from fitting.landmark_pairs import Pairs, detect
from problems import InvalidPackage

VIEW_SCALE = 4.0
"""Pixels a millimetre of the pictures that tell which triangles show."""
FINEST = 4.0
"""Largest factor on the stiffness of a fine part of the mesh is the square of this."""


@dataclass(frozen=True)
class RegistrationConfig:
    """Weights and rounds."""

    stiffness: tuple[float, ...] = (200.0, 60.0, 20.0, 8.0, 3.0, 1.0, 0.5)
    """Of the deformation in each round, against 1 for a matched vertex."""
    landmark_weight: float = 2.0
    """Of a detected landmark against a matched vertex, in the first rounds."""
    reach: float = 12.0
    """Largest distance of a match after the first round, millimetres."""
    largest_error: float = 4.0
    """Median distance in the face beyond which the other mesh is no head in its format's axes and unit, mm."""


@dataclass(frozen=True)
class Registration:
    """How the two heads lie on each other."""

    mean: Floats
    """(V, 3) the other model's mean turned and moved into head axes (never scaled)."""
    rotation: Floats
    """(3, 3) that was applied to its displacements too."""
    scale: float
    """Size of the other head over the shipped one."""
    shipped: Floats
    """(S, 3) vertices of the shipped head, laid over it."""
    error: float
    """Median distance of the two surfaces in the face, millimetres."""
    detected: bool
    """Whether the detector found the face."""


def register(
    foreign: ForeignModel, head: MorphableModel, config: RegistrationConfig | None = None
) -> Registration:
    """Lay ``head`` over the mean of ``foreign``.

    Raises:
        InvalidPackage: the surfaces do not come together.
    """
    config = config or RegistrationConfig()
    skin = foreign.triangles[foreign.part == SKIN]
    if len(skin) < 200:
        raise InvalidPackage(
            f"the model has {len(skin)} triangles of skin; that is no head", remedy="use the complete model"
        )
    mean = foreign.mean.astype(np.float64)
    used = np.unique(skin)
    # Before any landmark: the tip of the nose is what lies furthest in front.
    start = mean - mean[used[mean[used, 2].argmax()]] + head.landmark_points(head.mean)[4]
    theirs = detect(start, foreign.triangles, foreign.part, foreign.albedo)
    # The shipped head is looked at in the same dress, so that the detector errs on both alike.
    alike = np.isin(head.triangle_part, np.unique(foreign.part))
    ours = detect(
        head.mean.astype(np.float64), head.triangles[alike], head.triangle_part[alike],
        None if foreign.albedo is None else head.albedo,
    )  # fmt: skip
    detected = theirs is not None and ours is not None
    scale = 1.0
    placed, rotation = start, np.eye(3)
    pairs: Pairs | None = None
    if theirs is not None and ours is not None:
        pairs = Pairs.of(ours, theirs)
        scale, rotation, shift = _umeyama(pairs.theirs(start), pairs.ours(head.mean))
        placed, scale = start @ rotation.T + shift / scale, 1 / scale
    face = _face_vertices(head)
    placed, rotation, scale = _rigid_icp(placed, rotation, scale, skin, head, face)
    if not np.isfinite(placed).all() or not 0.6 < scale < 1.6:
        raise _no_head(f"its face is {scale:.2f} times the size of a head's")
    shipped = _deform(placed, scale, skin, head, face, pairs, config)
    surface = Surface(placed, skin)
    normals = vertex_normals(shipped, head.triangles[head.triangle_part == SKIN])
    error = float(np.median(surface.look_up(shipped[face], normals[face])[2][:, 0]))
    if error > config.largest_error:
        raise _no_head(f"its face lies {error:.1f} mm off")
    return Registration(placed, rotation, scale, shipped, error, detected)


def _no_head(reason: str) -> InvalidPackage:
    return InvalidPackage(
        f"the model does not look like a head: {reason}",
        remedy="check that it is a model of a whole face, looking along z with y up, in its format's unit",
    )


def _umeyama(points: Floats, onto: Floats) -> tuple[float, Floats, Floats]:
    """Scale, rotation and shift with ``onto = scale * points @ rotation.T + shift`` (Umeyama 1991)."""
    p, q = points - points.mean(0), onto - onto.mean(0)
    u, sizes, vt = np.linalg.svd(q.T @ p)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float((sizes * sign).sum() / (p**2).sum())
    return scale, rotation, onto.mean(0) - scale * rotation @ points.mean(0)


def _face_vertices(head: MorphableModel) -> NDArray[np.int64]:
    """Skin vertices of the shipped head's front: forehead to chin."""
    low, high = -105.0, 75.0
    inside = (head.mean[:, 1] > low) & (head.mean[:, 1] < high) & (head.mean[:, 2] > 25.0)
    normals = vertex_normals(head.mean, head.triangles[head.triangle_part == SKIN])
    return np.nonzero(inside & (head.vertex_part == SKIN) & (normals[:, 2] > 0.15))[0]


def _rigid_icp(
    placed: Floats, rotation: Floats, scale: float, skin: NDArray[np.int32], head: MorphableModel,
    face: NDArray[np.int64],
) -> tuple[Floats, Floats, float]:  # fmt: skip
    """Turn and move the other mean until the shipped face, scaled, lies on it; point to plane with robust weights."""
    normals = vertex_normals(head.mean, head.triangles[head.triangle_part == SKIN])[face]
    for _ in range(25):
        surface = Surface(placed, skin, candidates=6)
        points = scale * head.mean[face].astype(np.float64)
        triangle, weights, distance = surface.look_up(points, normals)
        triangle, weights = triangle[:, 0], weights[:, 0]
        target = surface.at(triangle, weights, placed)
        corners = placed[skin[triangle]]
        plane = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        plane /= np.linalg.norm(plane, axis=1, keepdims=True) + 1e-12
        gap = ((target - points) * plane).sum(1)
        width = 1.5 * float(np.median(np.abs(gap))) + 1e-6
        robust = 1 / (1 + (gap / width) ** 2) * (distance[:, 0] < 25) * ((plane * normals).sum(1) > 0.5)
        # Unknowns: turn and move the shipped head's points, and grow them; then undo turn and move on the other.
        rows = np.column_stack([np.cross(points, plane), plane, (points * plane).sum(1)])
        weighted = rows * robust[:, None]
        step = np.linalg.solve(rows.T @ weighted + 1e-6 * np.eye(7), weighted.T @ gap)
        turn = exp_map(step[:3])
        placed = (placed - step[3:6]) @ turn  # the inverse of turn
        rotation = turn.T @ rotation
        scale *= 1 + step[6]
        if np.abs(step).max() < 1e-6:
            break
    return placed, rotation, scale


def _edges(vertices: Floats, triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """(E, 2) each edge once, and (E,) its length."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    return edges, np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)


def fineness(vertices: Floats, triangles: NDArray[np.int64]) -> Floats:
    """(V,) how much shorter a vertex's edges are than the mesh's usual ones, 1 to ``FINEST``; 1 where it has none."""
    edges, length = _edges(vertices, triangles)
    total = np.bincount(edges.ravel(), np.repeat(length, 2), len(vertices))
    count = np.bincount(edges.ravel(), minlength=len(vertices))
    mean = total / np.maximum(count, 1)
    usual = float(np.median(mean[count > 0]))
    result: Floats = np.where(count > 0, np.clip(usual / np.maximum(mean, 1e-9), 1.0, FINEST), 1.0)
    return result


def laplacian(vertices: Floats, triangles: NDArray[np.int64]) -> sparse.csr_matrix:
    """(V, V) umbrella Laplacian with near neighbours pulling harder, rows scaled to 1; over the given triangles."""
    edges, length = _edges(vertices, triangles)
    pull = 1 / np.maximum(length, 0.25)
    one_way = sparse.coo_matrix((pull, (edges[:, 0], edges[:, 1])), (len(vertices), len(vertices)))
    both = (one_way + one_way.T).tocsr()
    degree = np.maximum(np.asarray(both.sum(1)).ravel(), 1e-12)
    return (sparse.eye(len(vertices)) - sparse.diags(1 / degree) @ both).tocsr()


def _deform(
    placed: Floats,
    scale: float,
    skin: NDArray[np.int32],
    head: MorphableModel,
    face: NDArray[np.int64],
    pairs: Pairs | None,
    config: RegistrationConfig,
) -> Floats:
    """(S, 3) the shipped head bent onto the other; eyeballs, teeth and tongue follow lids and lips."""
    shipped = scale * head.mean.astype(np.float64)
    bendable = np.isin(head.triangle_part, (SKIN, INNER_MOUTH))
    mesh = head.triangles[bendable].astype(np.int64)
    # The same bend means a smaller row where the mesh is finer (with the square of its edges): there lips would fold.
    smooth = sparse.diags(fineness(shipped, mesh) ** 2) @ laplacian(shipped, mesh)
    bending = (smooth.T @ smooth).tocsc()
    outer = head.triangles[head.triangle_part == SKIN]
    skin_seen = skin[_seen(placed, skin)]
    surface = Surface(placed, skin_seen)
    facing = vertex_normals(placed, skin_seen)
    rim = _rim(skin, len(placed))
    # Folds that nobody sees (inside the lips, behind the lids) would be drawn onto what lies before them.
    whole = np.unique(outer[_seen(shipped, outer)])
    begin = shipped.copy()
    for turn, stiffness in enumerate(config.stiffness):
        normals = vertex_normals(shipped, outer)
        triangle, weights, distance = surface.look_up(shipped[whole], normals[whole])
        triangle, weights, distance = triangle[:, 0], weights[:, 0], distance[:, 0]
        target = surface.at(triangle, weights, placed)
        alike = (surface.at(triangle, weights, facing) * normals[whole]).sum(1)
        reach = 3 * config.reach if turn == 0 else config.reach
        trust = (distance < reach) & (alike > 0.6) & ~rim[skin_seen[triangle]].any(1)
        data = np.zeros(len(shipped))
        data[whole] = np.where(np.isin(whole, face), 1.0, 0.3) * trust / (1 + (distance / 4.0) ** 2)
        pull = np.zeros(shipped.shape)
        pull[whole] = data[whole, None] * (target - shipped[whole])
        system = stiffness * bending + sparse.diags(data + 1e-4)
        if pairs is not None and turn < len(config.stiffness) - 3:
            count = len(pairs.our_corners)
            where = (np.repeat(np.arange(count), 3), pairs.our_corners.ravel())
            picks = sparse.coo_matrix((pairs.our_weights.ravel(), where), (count, len(shipped))).tocsr()
            error = pairs.theirs(placed) - picks @ shipped
            # Through an empty eye the detector's ray hits the back of the head.
            trusted = config.landmark_weight * (np.linalg.norm(error, axis=1) < config.reach)
            system = system + picks.T @ sparse.diags(trusted) @ picks
            pull = pull + picks.T @ (trusted[:, None] * error)
        step = splu(system.tocsc()).solve(pull)
        moving = np.unique(head.triangles[bendable])
        shipped[moving] += step[moving]
    moved = head.landmark_points(shipped) - head.landmark_points(begin)
    for eye, ring in zip(head.eyeballs, (RIGHT_EYE, LEFT_EYE), strict=True):
        shipped[eye] += moved[list(ring)].mean(0)
    inside = ~np.isin(head.vertex_part, (SKIN, EYES, INNER_MOUTH))
    shipped[inside] += moved[list(LIPS)].mean(0)
    return shipped


def _seen(vertices: Floats, triangles: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(F,) triangles that show from the front or from half a side."""
    result = np.zeros(len(triangles), bool)
    for yaw in (-0.9, 0.0, 0.9):
        turned = (vertices - vertices.mean(0)) @ exp_map(np.array([0.0, yaw, 0.0])).T
        pixels = np.column_stack([turned[:, 0], -turned[:, 1], 1000.0 - turned[:, 2]])
        pixels[:, :2] = (pixels[:, :2] - pixels[:, :2].min(0)) * VIEW_SCALE
        width, height = (pixels[:, :2].max(0) + 1).astype(int)
        shown = np.unique(rasterize(pixels, triangles, (int(height), int(width))).triangle)
        result[shown[shown >= 0]] = True
    return result


def _rim(triangles: NDArray[np.int32], vertices: int) -> NDArray[np.bool_]:
    """(V,) vertices at the mesh's border, where a closest point says nothing."""
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1
    )
    unique, count = np.unique(edges, axis=0, return_counts=True)
    result = np.zeros(vertices, bool)
    result[unique[count == 1]] = True
    return result
