"""A finer head mesh where it is looked at: quads round lips and lids are split once, eyeballs and teeth built anew.

Every new vertex is a fixed weighted sum of old ones, so one sparse matrix carries the mean head, all displacements and
all masks, and a posed head is as smooth as the mean one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Refined:
    """A mesh whose vertices are sums of another's."""

    rows: list[dict[int, float]]
    """Weights on the old vertices of each new vertex."""
    faces: list[tuple[int, ...]]
    """Triangles and quads."""
    parts: list[int]
    """Part of each face."""

    def matrix(self, old: int) -> sparse.csr_matrix:
        """(new, old) weights."""
        entries = [(n, v, w) for n, row in enumerate(self.rows) for v, w in row.items()]
        n, v, w = (np.array(column) for column in zip(*entries, strict=True))
        return sparse.csr_matrix((w, (n, v)), shape=(len(self.rows), old))


def split_quads(quads: Ints, parts: Ints, chosen: NDArray[np.bool_], count: int) -> Refined:
    """Split the ``chosen`` quads (Q,) into four; their neighbours get triangles that leave no T-junction.

    Edge points follow the interpolating four-point rule along the edge loop (Dyn, Levin and Gregory 1987; for quads
    Kobbelt 1996), face points the Coons patch of their four edges; at irregular vertices the loop is taken as straight.
    """
    faces_of_edge: dict[tuple[int, int], list[int]] = {}
    for n, quad in enumerate(quads):
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            faces_of_edge.setdefault(_edge(a, b), []).append(n)
    neighbours: dict[int, set[int]] = {}
    faces_of_vertex: dict[int, set[int]] = {}
    for (a, b), faces in faces_of_edge.items():
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
        for vertex in (a, b):
            faces_of_vertex.setdefault(vertex, set()).update(faces)

    def onward(a: int, b: int) -> int | None:
        """The vertex after b on the loop a-b, at a regular inner vertex: the neighbour that shares no face with a-b."""
        if len(neighbours[b]) != 4 or len(faces_of_vertex[b]) != 4:
            return None
        beside = {int(v) for f in faces_of_edge[_edge(a, b)] for v in quads[f]}
        rest = neighbours[b] - beside
        return rest.pop() if len(rest) == 1 else None

    rows: list[dict[int, float]] = [{n: 1.0} for n in range(count)]
    middle: dict[tuple[int, int], int] = {}
    for n in np.nonzero(chosen)[0]:
        for a, b in zip(quads[n], np.roll(quads[n], -1), strict=True):
            if _edge(a, b) not in middle:
                row = {int(a): 0.5, int(b): 0.5}
                for near, far in ((int(a), int(b)), (int(b), int(a))):
                    beyond = onward(far, near)
                    if (
                        beyond is not None
                    ):  # -1/16 of (the point beyond - its straight continuation 2 near - far)
                        for vertex, weight in ((beyond, -1.0), (near, 2.0), (far, -1.0)):
                            row[vertex] = row.get(vertex, 0.0) + weight / 16
                middle[_edge(a, b)] = len(rows)
                rows.append(row)
    out = Refined(rows, [], [])

    def emit(part: int, *faces: tuple[int, ...]) -> None:
        out.faces.extend(faces)
        out.parts.extend([part] * len(faces))

    for n, quad in enumerate(quads):
        corners = [int(v) for v in quad]
        mids = [middle.get(_edge(corners[k], corners[(k + 1) % 4])) for k in range(4)]
        marked = [k for k in range(4) if mids[k] is not None]
        part = int(parts[n])
        if len(marked) == 4:
            row = {}
            for k in range(4):
                for vertex, weight in rows[mids[k] or 0].items():
                    row[vertex] = row.get(vertex, 0.0) + weight / 2
                row[corners[k]] = row.get(corners[k], 0.0) - 0.25
            centre = len(rows)
            rows.append(row)
            emit(part, *((corners[k], mids[k] or 0, centre, mids[k - 1] or 0) for k in range(4)))
            continue
        # Turn the quad so that the marked edges come first: a-b, then b-c, then c-d.
        start = next((k for k in marked if (k - 1) % 4 not in marked), 0)
        a, b, c, d = (corners[(start + k) % 4] for k in range(4))
        m = [mids[(start + k) % 4] or -1 for k in range(4)]
        if not marked:
            emit(part, (a, b, c, d))
        elif len(marked) == 1:
            emit(part, (a, m[0], d), (m[0], b, c), (m[0], c, d))
        elif len(marked) == 3:
            emit(part, (a, m[0], m[2], d), (m[0], b, m[1]), (m[1], c, m[2]), (m[0], m[1], m[2]))
        elif m[2] >= 0:
            emit(part, (a, m[0], m[2], d), (m[0], b, c, m[2]))
        else:
            emit(part, (a, m[0], d), (m[0], b, m[1]), (m[1], c, d), (m[0], m[1], d))
    return out


def triangulate(refined: Refined, positions: Floats) -> tuple[Ints, Ints]:
    """(F, 3) triangles and (F,) parts: quads are cut along the shorter diagonal, the same on both sides of the head."""
    triangles: list[tuple[int, ...]] = []
    parts: list[int] = []
    for face, part in zip(refined.faces, refined.parts, strict=True):
        if len(face) == 3:
            triangles.append(face)
            parts.append(part)
            continue
        a, b, c, d = face
        one, two = (float(np.linalg.norm(positions[p] - positions[q])) for p, q in ((a, c), (b, d)))
        if abs(one - two) < 1e-6:  # a tie must not depend on the order of the corners
            foremost = max(
                face,
                key=lambda v: (round(positions[v, 2], 6), round(positions[v, 1], 6), abs(positions[v, 0])),
            )
            one = two - 1 if foremost in (a, c) else two + 1
        triangles += [(a, b, c), (a, c, d)] if one < two else [(a, b, d), (b, c, d)]
        parts += [part, part]
    return np.array(triangles), np.array(parts)


def affine_rows(points: Floats, anchors: Floats, members: Ints) -> list[dict[int, float]]:
    """Weights that move ``points`` (N, 3) by the best affine map of the anchors' (A, 3) motion.

    Args:
        members: (A,) the anchors' vertex numbers.
    """
    homogeneous = np.column_stack([anchors, np.ones(len(anchors))])
    weights = np.column_stack([points, np.ones(len(points))]) @ np.linalg.pinv(homogeneous)
    return [dict(zip(members.tolist(), row.tolist(), strict=True)) for row in weights]


def add_part(refined: Refined, rows: list[dict[int, float]], faces: list[tuple[int, ...]], part: int) -> Ints:
    """Append vertices and their faces (numbered from 0); the new vertex numbers."""
    first = len(refined.rows)
    refined.rows.extend(rows)
    refined.faces.extend(tuple(first + v for v in face) for face in faces)
    refined.parts.extend([part] * len(faces))
    return np.arange(first, len(refined.rows))


def _edge(a: int, b: int) -> tuple[int, int]:
    return (int(a), int(b)) if a < b else (int(b), int(a))
