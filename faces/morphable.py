"""The 3D morphable model: a mean head plus linear identity and expression displacements, and exact eyeball rotation.

    S(identity, offsets, expression) = mean + identity basis . identity + offsets + expression basis . expression

(Blanz and Vetter 1999 for the linear model, as in arXiv 2002.10137 section 3.1; the eyeballs then turn by ``gaze``.)
The model that ships, ``faces/data/head.npz``, is built from CC0 data by ``studio.head_model``.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.rotation import exp_map
from problems import InvalidPackage

Array = NDArray[np.float32]

SKIN, EYES, TEETH, TONGUE, INNER_MOUTH = 0, 1, 2, 3, 4
"""Values of ``triangle_part``."""

DEFAULT_MODEL = Path(__file__).parent / "data" / "head.npz"


@dataclass(frozen=True)
class MorphableModel:
    """A head model with V vertices, F triangles, K identity and E expression components; millimetres, head axes."""

    name: str
    """Name and version, stored in every track."""
    mean: Array
    """(V, 3) mean neutral head; the origin lies inside the skull at eye height."""
    identity_basis: Array
    """(V, 3, K) displacement of one standard deviation per component."""
    expression_basis: Array
    """(V, 3, E) displacement at coefficient 1."""
    expression_names: tuple[str, ...]
    """E names: ARKit's vocabulary, then MakeHuman units prefixed ``mh:``."""
    triangles: NDArray[np.int32]
    """(F, 3) counter-clockwise seen from outside."""
    triangle_part: NDArray[np.uint8]
    """(F,) SKIN, EYES, TEETH, TONGUE or INNER_MOUTH."""
    albedo: Array
    """(V, 3) procedural linear albedo in [0, 1]."""
    eye_centres: Array
    """(2, 3) centres of the eyeball at negative x (the person's right), then at positive x."""
    landmark_triangles: NDArray[np.int64]
    """(478,) triangle of each MediaPipe landmark."""
    landmark_barycentric: Array
    """(478, 3) its weights there."""
    landmark_bias: Array | None = None
    """(478, 3) millimetres in head axes from a landmark's point on the surface to where the detector draws it on most
    people (``studio.detector_bias``); None: nowhere else."""

    @staticmethod
    def load(path: Path = DEFAULT_MODEL) -> MorphableModel:
        """The model at ``path`` (the shipped one by default); loaded once per process.

        Raises:
            InvalidPackage: the file is missing or damaged.
        """
        return _load(Path(path))

    @property
    def vertex_count(self) -> int:
        """V."""
        return len(self.mean)

    @cached_property
    def vertex_part(self) -> NDArray[np.uint8]:
        """(V,) part of each vertex; a vertex shared by skin and inner mouth counts as skin."""
        part = np.full(self.vertex_count, SKIN, np.uint8)
        for value in (INNER_MOUTH, EYES, TEETH, TONGUE):
            part[self.triangles[self.triangle_part == value].ravel()] = value
        part[self.triangles[self.triangle_part == SKIN].ravel()] = SKIN
        return part

    @cached_property
    def eyeballs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Vertex indices of the eyeball at negative x and of the one at positive x."""
        eyes = np.nonzero(self.vertex_part == EYES)[0]
        return eyes[self.mean[eyes, 0] < 0], eyes[self.mean[eyes, 0] >= 0]

    def expression_index(self, name: str) -> int:
        """Position of a named expression."""
        return self.expression_names.index(name)

    def neutral(self, identity: NDArray[Any], offsets: NDArray[Any] | None = None) -> Array:
        """(K,) identity in standard deviations [and (V, 3) mm offsets] -> (V, 3) neutral head in millimetres."""
        shape: Array = self.mean + self.identity_basis @ np.asarray(identity, np.float32)
        return shape if offsets is None else shape + np.asarray(offsets, np.float32)

    def vertices(
        self, neutral: NDArray[Any], expression: NDArray[Any], gaze: NDArray[Any] | None = None
    ) -> Array:
        """Posed heads in head axes.

        Args:
            neutral: (V, 3) millimetres, from :meth:`neutral`.
            expression: (T, E) coefficients in [0, 1].
            gaze: (T, 2) radians (x > 0 to the image's right, y > 0 up), or None for straight ahead.

        Returns:
            (T, V, 3) millimetres.
        """
        weights = np.atleast_2d(np.asarray(expression, np.float32))
        active = np.nonzero(np.abs(weights).max(0) > 1e-4)[0]
        if 4 * len(weights) < len(active):  # few frames: picking rows would cost more than it spares
            moved: Array = np.matmul(weights, self._expression_rows).reshape(len(weights), -1, 3)
        else:
            basis = self._expression_rows[active]  # (A, V * 3)
            moved = np.matmul(weights[:, active], basis).reshape(len(weights), -1, 3)
        shapes = moved + neutral.astype(np.float32)
        if gaze is not None:
            turns = gaze_matrices(np.atleast_2d(gaze)).astype(np.float32)  # (T, 3, 3)
            for eye in self.eyeballs:
                centre = neutral[eye].min(0) / 2 + neutral[eye].max(0) / 2
                shapes[:, eye] = np.einsum("tij,vj->tvi", turns, neutral[eye] - centre) + centre
        return shapes

    @cached_property
    def recess(self) -> Array:
        """(V,) millimetres to add to a vertex's depth when drawing: eyeballs stand behind the lids that close on them.

        A closing lid slides along the eyeball within half a millimetre, less than what a personal offset moves it.
        """
        return np.where(self.vertex_part == EYES, 2.5, 0.0).astype(np.float32)

    @cached_property
    def _expression_rows(self) -> Array:
        return np.ascontiguousarray(
            self.expression_basis.transpose(2, 0, 1).reshape(len(self.expression_names), -1)
        )

    def landmark_points(self, vertices: NDArray[Any]) -> Array:
        """(..., V, 3) -> (..., 478, 3) landmark positions."""
        corners = vertices[..., self.triangles[self.landmark_triangles], :]  # (..., 478, 3 corners, 3)
        return (corners * self.landmark_barycentric[:, :, None]).sum(-2)

    def detected_points(self, vertices: NDArray[Any]) -> Array:
        """(..., V, 3) vertices in head axes -> (..., 478, 3) where the detector is expected to draw the landmarks."""
        points = self.landmark_points(vertices)
        return points if self.landmark_bias is None else points + self.landmark_bias

    def landmark_rows(self, basis: NDArray[Any]) -> NDArray[Any]:
        """(V, 3, C) per-vertex basis -> (478, 3, C) basis of the landmarks."""
        corners = basis[self.triangles[self.landmark_triangles]]  # (478, 3 corners, 3, C)
        return np.einsum("lkdc,lk->ldc", corners, self.landmark_barycentric)


def gaze_matrices(gaze: NDArray[Any]) -> NDArray[np.float64]:
    """(T, 2) radians -> (T, 3, 3) eyeball rotations in head axes: first up/down about x, then sideways about y."""
    zeros = np.zeros(len(gaze))
    up = exp_map(np.column_stack([-gaze[:, 1], zeros, zeros]))
    side = exp_map(np.column_stack([zeros, gaze[:, 0], zeros]))
    return side @ up


@lru_cache(maxsize=4)
def _load(path: Path) -> MorphableModel:
    try:
        with np.load(path, allow_pickle=False) as content:
            data = {name: content[name] for name in content.files}
        triangles = data["triangles"].astype(np.int32)
        part = data["triangle_part"].astype(np.uint8)
        inside = data["inside_mouth"].astype(np.float32)[triangles].min(1) > 0.5
        part[(part == SKIN) & inside] = INNER_MOUTH
        return MorphableModel(
            name=str(data["name"]),
            mean=data["mean"].astype(np.float32),
            identity_basis=data["identity"].astype(np.float32),
            expression_basis=data["expression"].astype(np.float32),
            expression_names=tuple(str(n) for n in data["expression_names"]),
            triangles=triangles,
            triangle_part=part,
            albedo=data["albedo"].astype(np.float32),
            eye_centres=data["eye_centres"].astype(np.float32),
            landmark_triangles=data["landmark_triangles"].astype(np.int64),
            landmark_barycentric=data["landmark_barycentric"].astype(np.float32),
            landmark_bias=data["landmark_bias"].astype(np.float32) if "landmark_bias" in data else None,
        )
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidPackage(
            f"the morphable model {path} is missing or damaged ({error})",
            remedy="restore faces/data/head.npz from the checkout, or build it with python -m studio.head_model",
        ) from error
