"""Where MediaPipe's 478 landmarks lie on the head model, found by running the detector on renders of it.

Heads of several identities, turns and expressions are rendered; every detected point is cast back onto the mesh. Lips
are taken from open mouths (on a closed one the upper and lower inner border coincide) and lids from half-closed eyes.
The many casts of one landmark are reduced by a robust mean on the mean head, mirrored left onto right, and put back
onto the surface. ``studio.head_margins`` then moves inner lips and lids onto the edges they mark, and irises to their
true place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from faces.camera import Camera, to_camera
from faces.mouth import LEFT_EYE, LEFT_IRIS, LIPS, LIPS_INNER, LIPS_OUTER, RIGHT_EYE, RIGHT_IRIS
from faces.raster import rasterize
from faces.rotation import rotvec_from_euler
from fitting.landmarks import LANDMARKS, FaceLandmarker
from studio.head_margins import iris_points, lid_margins, lip_rings

Floats = NDArray[np.float64]
SIZE = 640
"""Side of the square renders in pixels."""
UPPER_RIGHT_LID, LOWER_RIGHT_LID = RIGHT_EYE[1:8], RIGHT_EYE[9:]
UPPER_LEFT_LID, LOWER_LEFT_LID = LEFT_EYE[1:8], LEFT_EYE[9:]
LIP_CORNERS = (61, 291, 78, 308, 76, 306, 62, 292)


@dataclass(frozen=True)
class _Pose:
    """One render: who, how turned, with which face."""

    identity: Floats  # (K,)
    euler: tuple[float, float, float]  # degrees
    expression: dict[str, float]


def shade(
    vertices: Floats, triangles: NDArray[np.int64], albedo: Floats, camera: Camera
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
    """Lambert render over light grey of camera-space ``vertices``: image, triangle ids, barycentric weights."""
    corners = vertices[triangles]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], face_normals)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    projected = np.column_stack([camera.project(vertices), vertices[:, 2]])
    fragments = rasterize(projected, triangles, (camera.height, camera.width))
    covered = fragments.triangle >= 0
    values = fragments.interpolate(np.column_stack([albedo, normals]), triangles)
    normal = values[..., 3:] / (np.linalg.norm(values[..., 3:], axis=-1, keepdims=True) + 1e-9)
    normal *= -np.sign(normal[..., 2:3])  # camera z points away: visible surfaces have negative z
    normal[..., 2] = -np.abs(normal[..., 2])
    light = np.array([0.35, -0.45, -0.82]) / np.linalg.norm([0.35, 0.45, 0.82])
    shading = 0.34 + 0.8 * np.clip(normal @ light, 0, 1)
    image = np.full((camera.height, camera.width, 3), 0.92)
    image[covered] = np.clip(values[..., :3] * shading[..., None], 0, 1)[covered] ** 0.9
    return (image * 255).astype(np.uint8), fragments.triangle, fragments.barycentric


def embed_landmarks(
    mean: Floats,
    identity: Floats,
    expression: Floats,
    names: list[str],
    triangles: NDArray[np.int64],
    part: NDArray[np.int64],
    albedo: Floats,
    masks: dict[str, Floats],
    eye_centres: Floats,
) -> tuple[NDArray[np.int64], Floats]:
    """The landmarks as (478,) triangle indices and (478, 3) barycentric weights on the mean head."""
    unit = {name: expression[..., n] for n, name in enumerate(names)}
    jaw = np.linalg.norm(unit["jawOpen"], axis=1)[triangles].mean(1)
    blink = np.linalg.norm(unit["eyeBlinkLeft"] + unit["eyeBlinkRight"], axis=1)[triangles].mean(1)
    skin = (part == 0) & (masks["inside-mouth"][triangles].max(1) < 0.5)
    lip = skin & (masks["lips"][triangles].max(1) > 0.3)
    lower, upper_lid = jaw > 0.4 * jaw[lip].max(), blink > 0.3 * blink.max()
    front = mean[triangles].mean(1)[:, 2] > 40.0
    near_eye = (
        skin
        & front
        & (np.linalg.norm(mean[triangles].mean(1)[:, None] - eye_centres[None], axis=-1).min(1) < 26.0)
    )
    upper_ring = set(LIPS_OUTER[1:10]) | set(LIPS_INNER[1:10]) | {74, 73, 72, 11, 302, 303, 304, 184, 408} | {
        42, 41, 38, 12, 268, 271, 272, 183, 407}  # fmt: skip
    upper_lips = sorted(upper_ring - set(LIP_CORNERS))
    lower_lips = sorted(set(LIPS) - upper_ring - set(LIP_CORNERS))
    upper_lids, lower_lids = [*UPPER_RIGHT_LID, *UPPER_LEFT_LID], [*LOWER_RIGHT_LID, *LOWER_LEFT_LID]
    irises = [*RIGHT_IRIS, *LEFT_IRIS]
    special = {*LIPS, *upper_lids, *lower_lids, *irises}
    rest = [n for n in range(LANDMARKS) if n not in special]
    groups = [
        ("rest", rest, skin),
        ("open", upper_lips, lip & ~lower), ("open", lower_lips, lip & lower), ("open", list(LIP_CORNERS), lip),
        ("half", upper_lids, near_eye & upper_lid), ("half", lower_lids, near_eye & ~upper_lid),
        ("rest", irises, part == 1),
    ]  # fmt: skip

    casts: list[list[Floats]] = [[] for _ in range(LANDMARKS)]
    weights: list[list[float]] = [[] for _ in range(LANDMARKS)]
    yaws: list[list[float]] = [[] for _ in range(LANDMARKS)]
    camera = Camera.for_image(SIZE, SIZE, 2.0)
    frontal: list[Floats] = []
    opened_detections: list[Floats] = []
    with FaceLandmarker(still=True, min_confidence=0.2) as landmarker:
        for kind, pose in _poses(identity.shape[-1]):
            shape = mean + identity @ pose.identity
            for name, amount in pose.expression.items():
                shape = shape + amount * unit[name]
            # Head at 800 mm: perspective of a webcam; the head fills about half of the picture.
            placed = to_camera(shape, rotvec_from_euler(np.array(pose.euler)), np.array([0.0, -15.0, 800.0]))
            image, ids, weights_px = shade(placed, triangles, albedo, camera)
            found = landmarker.detect(image)
            if not found:
                continue
            points = found[0][:, :2]
            if pose.euler == (0.0, 0.0, 0.0) and kind == "open":
                opened_detections.append(found[0].astype(np.float64))
            if pose.euler == (0.0, 0.0, 0.0) and kind == "rest":
                frontal.append(found[0].astype(np.float64))
            corners = placed[triangles]
            facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            view = corners.mean(1)
            cosine = -(facing * view).sum(1) / (
                np.linalg.norm(facing, axis=1) * np.linalg.norm(view, axis=1) + 1e-9
            )
            for group_kind, members, candidates in groups:
                if group_kind != kind:
                    continue
                rows, columns = np.nonzero((ids >= 0) & candidates[np.maximum(ids, 0)])
                distance, nearest = cKDTree(np.column_stack([columns, rows]) + 0.5).query(points[members])
                hit = ids[rows[nearest], columns[nearest]]
                where = (mean[triangles[hit]] * weights_px[rows[nearest], columns[nearest]][:, :, None]).sum(
                    1
                )
                for n, landmark in enumerate(members):
                    weight = max(float(cosine[hit[n]]), 0.0) ** 2 / (1 + (distance[n] / 3) ** 2)
                    if weight > 0.02:
                        casts[landmark].append(where[n])
                        weights[landmark].append(weight)
                        yaws[landmark].append(np.radians(pose.euler[1]))

    located = np.stack(
        [_locate(np.array(c), np.array(w), np.array(y)) for c, w, y in zip(casts, weights, yaws, strict=True)]
    )
    if not frontal:
        raise RuntimeError("no face was detected on the frontal renders")
    mirror = _mirror_pairs(np.mean(frontal, axis=0))
    flip = np.array([-1.0, 1.0, 1.0])
    located = (located + located[mirror] * flip) / 2
    embedded_triangle = np.zeros(LANDMARKS, np.int64)
    embedded_weights = np.zeros((LANDMARKS, 3))
    for _, members, candidates in groups:
        faces = np.nonzero(candidates)[0]
        chosen, bary = _closest_on_surface(located[members], mean[triangles[faces]])
        embedded_triangle[members], embedded_weights[members] = faces[chosen], bary
    half = mean + 0.5 * (unit["eyeBlinkLeft"] + unit["eyeBlinkRight"])
    edges = lid_margins(half, triangles, part == 1, part == 0, eye_centres, located)
    carried = (jaw > 0.5 * jaw[lip].max()) & (part == 0)
    edges |= lip_rings(
        mean, triangles, (part == 0) & ~carried, carried, located, np.mean(opened_detections, axis=0)
    )  # fmt: skip
    for landmark, (triangle, weights_) in edges.items():
        embedded_triangle[landmark], embedded_weights[landmark] = triangle, weights_ / weights_.sum()
    ball = np.unique(triangles[part == 1])
    radius = float(np.linalg.norm(mean[ball][:, None] - eye_centres, axis=-1).min(1).mean())
    places = iris_points(eye_centres, radius, np.mean(frontal, axis=0))
    eyeballs = np.nonzero(part == 1)[0]
    chosen, bary = _closest_on_surface(np.stack(list(places.values())), mean[triangles[eyeballs]])
    embedded_triangle[list(places)], embedded_weights[list(places)] = eyeballs[chosen], bary
    moved = np.linalg.norm(unit["eyeBlinkLeft"] + unit["eyeBlinkRight"], axis=1)
    lid_motion = (moved[triangles[embedded_triangle]] * embedded_weights).sum(1)[upper_lids]
    if lid_motion.min() < 0.1 * moved.max():
        raise RuntimeError(f"an upper-lid landmark does not follow eyeBlink: {lid_motion.round(2)} mm")
    return embedded_triangle, embedded_weights


def _poses(components: int) -> list[tuple[str, _Pose]]:
    """The renders: 12 heads x turns for the face, open mouths for lips, half-closed eyes for lids."""
    rng = np.random.default_rng(1)
    poses: list[tuple[str, _Pose]] = []
    for person in range(12):
        coefficients = np.zeros(components) if person == 0 else rng.normal(0, 0.6, components)
        for yaw, pitch in ((0, 0), (-22, 0), (22, 0), (-42, 4), (42, 4), (0, 14), (0, -12)):
            euler = (float(pitch), float(yaw), 0.0)
            poses.append(("rest", _Pose(coefficients, euler, {"jawOpen": 0.05})))
            if abs(yaw) <= 22:
                opened = {"jawOpen": float(rng.uniform(0.3, 0.6))}
                poses.append(("open", _Pose(coefficients, euler, opened)))
                closed = float(rng.uniform(0.3, 0.55))
                half = {"eyeBlinkLeft": closed, "eyeBlinkRight": closed}
                poses.append(("half", _Pose(coefficients, euler, half)))
    return poses


def _locate(points: Floats, weights: Floats, yaws: Floats) -> Floats:
    """One landmark from its casts (N, 3): only from views that see its side of the head.

    On a turned head the detector draws the far silhouette where it guesses it, and the ray there hits nose or cheek.
    """
    frontal = _robust_mean(points[yaws == 0], weights[yaws == 0])
    azimuth = np.arctan2(frontal[0], frontal[2] - 20.0) + yaws  # seen from an axis a little behind the face
    seen = np.abs(azimuth) < np.radians(62)
    seen &= np.linalg.norm(points - frontal, axis=1) < 35.0
    if not seen.any():
        return frontal
    return _robust_mean(points[seen], (weights * np.cos(azimuth) ** 2)[seen])


def _robust_mean(points: Floats, weights: Floats) -> Floats:
    """Weighted geometric-median-like mean (iteratively reweighted, 2 mm scale) of (N, 3) points."""
    centre = np.median(points, axis=0)
    for _ in range(20):
        pull = weights / (1 + np.linalg.norm(points - centre, axis=1) / 2.0)
        centre = (points * pull[:, None]).sum(0) / pull.sum()
    return centre


def _mirror_pairs(points: Floats) -> NDArray[np.int64]:
    """For each landmark of a frontal detection (478, 3) its mirror partner (itself on the midline).

    A one-to-one assignment, so that points near the silhouette can't all claim the same partner.
    """
    centred = points - points.mean(0)
    mirrored = centred * np.array([-1.0, 1.0, 1.0])
    partner = np.arange(len(points))
    for _ in range(8):
        # The detection is never exactly upright: turn the mirrored points onto the others before pairing again.
        _, partner = linear_sum_assignment(np.linalg.norm(mirrored[:, None] - centred[None], axis=-1) ** 2)
        u, _, vt = np.linalg.svd(mirrored.T @ centred[partner])
        turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
        mirrored = mirrored @ turn
    if not np.array_equal(partner[partner], np.arange(len(points))):
        raise RuntimeError("the frontal detection is not symmetric enough to pair left with right landmarks")
    return partner


def _closest_on_surface(points: Floats, corners: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Closest points of (N, 3) ``points`` on triangles (F, 3, 3): triangle index (N,) and weights (N, 3)."""
    index = np.zeros(len(points), np.int64)
    weights = np.zeros((len(points), 3))
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-12)
    for n, point in enumerate(points):
        ap = point - a
        d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
        v = (d11 * d20 - d01 * d21) / determinant
        w = (d00 * d21 - d01 * d20) / determinant
        bary = np.clip(np.column_stack([1 - v - w, v, w]), 0, None)
        bary /= bary.sum(1, keepdims=True)  # close enough: the mesh is fine against the clamping error
        distance = np.linalg.norm((corners * bary[:, :, None]).sum(1) - point, axis=1)
        index[n] = int(distance.argmin())
        weights[n] = bary[index[n]]
    return index, weights
