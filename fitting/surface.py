"""Points on the skin and what the frames show there: where each is seen, its colour, its brightness.

A frame is kept as a small crop round the face, scaled so that faces of all clips have the same size; what the
photometric steps see does not depend on the clip's resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.camera import to_camera
from faces.light import vertex_normals
from faces.morphable import SKIN, MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE, inter_ocular_distance
from faces.raster import rasterize
from faces.ring import inside_ring
from faces.rotation import exp_map, rotvec_from_euler
from faces.track import FaceTrack, Motion

Array = NDArray[np.float32]


class ImageSequence(Protocol):
    """Indexable (H, W, 3) uint8 RGB frames."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class SurfacePoints:
    """N points inside the face oval, off the lips and lids.

    What moves with speech and blinks folds and hides itself; there the landmarks know better (with points on them, lip
    gap and eye aperture followed the frames less well).
    """

    triangle: NDArray[np.int64]
    """(N,) triangle of the model."""
    barycentric: Array
    """(N, 3)."""

    @classmethod
    def spread(cls, model: MorphableModel, count: int, seed: int = 0) -> SurfacePoints:
        """Points drawn in proportion to the area that is seen of a face from the front and from both sides."""
        marks = model.landmark_points(model.mean)
        middle = model.mean[model.triangles].mean(1)
        inside = (model.triangle_part == SKIN) & inside_ring(marks[list(FACE_OVAL)], middle)
        for ring in (LIPS_OUTER, RIGHT_EYE, LEFT_EYE):
            inside &= ~inside_ring(marks[list(ring)], middle)
        features = marks[[*LIPS_OUTER, *RIGHT_EYE, *LEFT_EYE]]
        inside &= np.linalg.norm(middle[:, None] - features[None], axis=-1).min(1) > 7.0
        chance = _seen_area(model) * inside
        rng = np.random.default_rng(seed)
        triangle = rng.choice(len(chance), count, p=chance / chance.sum())
        barycentric = rng.dirichlet([1.0, 1.0, 1.0], count).astype(np.float32)
        return cls(triangle, barycentric)

    def gather(self, model: MorphableModel, values: NDArray[Any]) -> NDArray[Any]:
        """(..., V, C) per-vertex values -> (..., N, C) at the points."""
        corners = values[..., model.triangles[self.triangle], :]
        result: NDArray[Any] = np.einsum("...nkc,nk->...nc", corners, self.barycentric)
        return result

    def rows(self, model: MorphableModel) -> NDArray[np.float64]:
        """(N, 3, E) the expression basis at the points."""
        corners = model.expression_basis[model.triangles[self.triangle]].astype(np.float64)
        result: NDArray[np.float64] = np.einsum("nkde,nk->nde", corners, self.barycentric)
        return result


@dataclass(frozen=True)
class FaceCrops:
    """Small pictures of the face of T frames."""

    image: NDArray[np.uint8]
    """(T, S, S, 3) RGB."""
    origin: NDArray[np.float64]
    """(T, 2) full-frame pixels of the crop's corner."""
    scale: NDArray[np.float64]
    """(T,) crop pixels a full-frame pixel."""

    @classmethod
    def cut(
        cls, frames: ImageSequence, track: FaceTrack, index: NDArray[np.int64], iod_px: float
    ) -> FaceCrops:
        """Crops of ``track``'s frames ``index``, in which the eye corners are about ``iod_px`` apart."""
        points = track.landmarks[index].astype(np.float64)
        iod = float(np.percentile(inter_ocular_distance(points), 80))
        size = int(round(2.3 * iod_px / 16)) * 16
        side = 2.3 * iod
        scale = size / side
        centre = points[:, 6] + [0.0, 0.28 * iod]  # between nose bridge and mouth
        origin = centre - side / 2
        image = np.empty((len(index), size, size, 3), np.uint8)
        for n, frame in enumerate(index):
            image[n] = _cut(frames[int(frame)], origin[n], side, size)
        return cls(image, origin, np.full(len(index), scale))

    def local(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """(T, N, 2) full-frame pixels -> crop pixels."""
        return (pixels - self.origin[:, None]) * self.scale[:, None, None]

    def sample(self, pixels: NDArray[Any]) -> Array:
        """(T, N, 2) full-frame pixels -> (T, N, 3) colours, bilinear."""
        local = self.local(pixels).astype(np.float32) - 0.5
        result = np.empty((*pixels.shape[:2], 3), np.float32)
        for n, where in enumerate(local):
            result[n] = cv2.remap(
                self.image[n],
                where[None, :, 0],
                where[None, :, 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )[0]
        return result


@dataclass(frozen=True)
class Sight:
    """How T frames see the points."""

    pixels: NDArray[np.float64]
    """(T, N, 2) full-frame pixels."""
    normals: Array
    """(T, N, 3) unit normals in camera axes."""
    visible: NDArray[np.bool_]
    """(T, N) faces the camera and nothing lies before it."""


def see(
    points: SurfacePoints,
    model: MorphableModel,
    track: FaceTrack,
    motion: Motion,
    crops: FaceCrops,
    margin_px: float = 0.0,
) -> Sight:
    """Place the points of every frame of ``motion`` and find which are seen, ``margin_px`` from the silhouette."""
    neutral = model.neutral(track.identity, track.offsets)
    frames, count = len(motion), len(points.triangle)
    pixels, normals = np.empty((frames, count, 2)), np.empty((frames, count, 3), np.float32)
    visible = np.empty((frames, count), bool)
    size = crops.image.shape[1]
    for t in range(frames):
        shape = model.vertices(neutral, motion.expression[t : t + 1])[0]
        placed = to_camera(shape, motion.rotation[t], motion.translation[t])
        at = points.gather(model, placed)
        pixels[t] = track.camera.project(at)
        normal = points.gather(model, vertex_normals(placed, model.triangles))
        normals[t] = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        flat = np.column_stack([track.camera.project(placed), placed[:, 2]])
        flat[:, :2] = (flat[:, :2] - crops.origin[t]) * crops.scale[t]
        depth = rasterize(flat, model.triangles, (size, size), cull_backfaces=True)
        nearest = depth.interpolate(flat[:, 2:], model.triangles)[..., 0]
        column, row = ((pixels[t] - crops.origin[t]) * crops.scale[t]).astype(int).T
        within = (column >= 0) & (row >= 0) & (column < size) & (row < size)
        before = nearest[row.clip(0, size - 1), column.clip(0, size - 1)]
        view = at / np.linalg.norm(at, axis=1, keepdims=True)
        facing = -(normals[t] * view).sum(1)
        # Near the silhouette the fine brightness holds what lies behind the head.
        inwards = cv2.distanceTransform((depth.triangle >= 0).astype(np.uint8), cv2.DIST_L2, 5)
        within &= inwards[row.clip(0, size - 1), column.clip(0, size - 1)] > margin_px
        visible[t] = within & (facing > 0.4) & ((at[:, 2] - before < 2.5) | (before == 0))
    return Sight(pixels, normals, visible)


@njit(cache=True, nogil=True)
def sample_with_gradient(images: Any, where: Any) -> Any:  # pragma: no cover - compiled
    """(T, S, S) float32 images at (T, N, 2) crop pixels -> (T, N) values and (T, N, 2) gradients per crop pixel.

    Bilinear; the gradient is that of the bilinear surface averaged over a pixel (central differences).
    """
    frames, count = where.shape[0], where.shape[1]
    size = images.shape[1]
    values = np.empty((frames, count))
    gradients = np.empty((frames, count, 2))
    for t in range(frames):
        for n in range(count):
            x = min(max(where[t, n, 0] - 0.5, 1.0), size - 3.0)
            y = min(max(where[t, n, 1] - 0.5, 1.0), size - 3.0)
            i, j = int(x), int(y)
            u, v = x - i, y - j
            value = 0.0
            across = 0.0
            down = 0.0
            for dj in range(2):
                for di in range(2):
                    weight = (u if di else 1 - u) * (v if dj else 1 - v)
                    r, c = j + dj, i + di
                    value += weight * images[t, r, c]
                    across += weight * (images[t, r, c + 1] - images[t, r, c - 1]) * 0.5
                    down += weight * (images[t, r + 1, c] - images[t, r - 1, c]) * 0.5
            values[t, n] = value
            gradients[t, n, 0] = across
            gradients[t, n, 1] = down
    return values, gradients


def _seen_area(model: MorphableModel) -> NDArray[np.float64]:
    """(F,) quarter square millimetres of each triangle that three parallel views of the mean head show."""
    seen = np.zeros(len(model.triangles))
    for yaw in (-30.0, 0.0, 30.0):
        turned = model.mean @ exp_map(rotvec_from_euler(np.array([0.0, yaw, 0.0]))).T
        flat = (turned * [2.0, -2.0, -1.0]).astype(np.float64)
        flat -= [*flat[:, :2].min(0), flat[:, 2].min() - 1000.0]
        width, height = np.ceil(flat[:, :2].max(0)).astype(int)
        shown = rasterize(flat, model.triangles, (int(height), int(width))).triangle
        seen += np.bincount(shown[shown >= 0], minlength=len(seen))
    return seen


def _cut(
    image: NDArray[np.uint8], origin: Sequence[float] | NDArray[Any], side: float, size: int
) -> NDArray[np.uint8]:
    """A square of the picture at ``size`` pixels; beyond its border the last pixels are repeated."""
    scale = size / side
    if scale < 0.75:  # average before sampling, or the crop would alias
        height, width = image.shape[:2]
        left, top = int(max(np.floor(origin[0]) - 2, 0)), int(max(np.floor(origin[1]) - 2, 0))
        right = int(min(np.ceil(origin[0] + side) + 2, width))
        bottom = int(min(np.ceil(origin[1] + side) + 2, height))
        part = cv2.GaussianBlur(image[top:bottom, left:right], (0, 0), 0.4 / scale)
        origin = np.asarray(origin, np.float64) - [left, top]
        image = part
    matrix = np.array([[scale, 0.0, -origin[0] * scale], [0.0, scale, -origin[1] * scale]])
    matrix[:, 2] += 0.5 * scale - 0.5  # pixel centres lie at integers + .5 on both sides
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
