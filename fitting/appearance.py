"""Learn how a person's texture changes with their motion (``faces.appearance``), from all frames of the clip.

Each frame, unwrapped into the atlas in its own light, differs from the texture; a ridge regression explains the
differences by expression, rotation and gaze, and is reduced to a few basis pictures. Frames are streamed: only sums
over them are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.appearance import Appearance, motion_features
from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.light import vertex_shading
from faces.morphable import SKIN, MorphableModel
from faces.mouth import FACE_OVAL
from faces.registry import model_named
from faces.ring import ring_distance
from faces.texture import Texture
from faces.track import FaceTrack
from fitting.surface import ImageSequence
from fitting.texture import TextureConfig, View
from fitting.windows import spread
from training.progress import Progress, Tick, silent
from training.runtime import in_threads

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AppearanceConfig:
    """How the changes are learnt."""

    size: int = 512
    """Side of the atlas in texels."""
    frames: int = 300
    """Most frames that are looked at, spread over the clip."""
    basis: int = 12
    """Basis pictures."""
    ridge: float = 0.05
    """Strength of the ridge per frame, for features of variance one: a clip has 300 frames that are far from
    independent."""
    variance: float = 0.97
    """Share of the expressions' variance that is used; the rest is noise of the fit."""
    most_expressions: int = 14
    """Most principal components of the expressions."""
    beyond: float = 9.0
    """Millimetres past the face oval that still change."""
    batch: int = 16
    """Frames summed at a time."""


def learn_appearance(
    track: FaceTrack,
    texture: Texture,
    frames: ImageSequence,
    *,
    model: MorphableModel | None = None,
    config: AppearanceConfig | None = None,
    progress: Progress = silent,
) -> Texture:
    """The texture with its changes.

    Args:
        track: the fitted track of ``frames``.
        texture: the same frames' texture.
        frames: (H, W, 3) uint8 RGB, one per frame of the track.
    """
    config = config or AppearanceConfig()
    model = model or model_named(track.model)
    texels = _Texels.of(model, track, texture, config)
    found = np.nonzero(track.valid)[0]
    chosen = found[spread(len(found), config.frames)]
    features = _Features.of(motion_features(track.motion[chosen]), track.motion.expression.shape[1], config)
    rows = np.column_stack([np.ones(len(chosen)), features.values]).astype(np.float32)  # (T, 1 + P)
    # Sums over frames of feature * residual and feature * seen, per texel.
    moved = np.zeros((rows.shape[1], len(texels.flat) * 3), np.float32)
    seen = np.zeros((rows.shape[1], len(texels.flat)), np.float32)
    for start in range(0, len(chosen), config.batch):
        part = chosen[start : start + config.batch]
        residual = np.empty((len(part), len(texels.flat), 3), np.float32)
        visible = np.empty((len(part), len(texels.flat)), np.float32)
        for n, index in enumerate(part):
            residual[n], visible[n] = texels.residual(track, int(index), frames[int(index)])
        weight = rows[start : start + len(part)].T
        moved += weight @ residual.reshape(len(part), -1)
        seen += weight @ visible
        progress(Tick("fit.appearance", start + len(part), len(chosen)))
    return replace(texture, appearance=_reduce(moved, seen, features, texels, len(chosen), config))


@dataclass(frozen=True)
class _Features:
    values: Floats  # (T, P) of variance one
    centre: Floats  # (E + 5,)
    project: Floats  # (E + 5, P)

    @classmethod
    def of(cls, raw: NDArray[np.float32], expressions: int, config: AppearanceConfig) -> _Features:
        """Principal components of the expressions; rotation and gaze as they are."""
        centre = raw.mean(0).astype(np.float64)
        around = raw - centre
        _, strength, directions = np.linalg.svd(around[:, :expressions], full_matrices=False)
        total = np.cumsum(strength**2) / max(float((strength**2).sum()), 1e-12)
        count = min(int(np.searchsorted(total, config.variance)) + 1, config.most_expressions, len(strength))
        project = np.zeros((raw.shape[1], count + raw.shape[1] - expressions))
        project[:expressions, :count] = directions[:count].T
        project[expressions:, count:] = np.eye(raw.shape[1] - expressions)
        # A floor of a tenth of a degree (or of a hundredth of an expression): what never moves explains nothing.
        project /= np.maximum((around @ project).std(0), np.r_[np.full(count, 1e-2), np.full(5, 2e-3)])
        return cls(around @ project, centre, project)


@dataclass(frozen=True)
class _Texels:
    """The atlas texels of the face."""

    model: MorphableModel
    neutral: NDArray[np.float32]
    flat: NDArray[np.int32]  # (N,) row * size + column
    triangle: NDArray[np.int32]  # (N,)
    weights: NDArray[np.float32]  # (N, 3)
    part: NDArray[np.uint8]  # (N,)
    base: NDArray[np.float32]  # (N, 3) the texture there
    texture_config: TextureConfig

    @classmethod
    def of(
        cls, model: MorphableModel, track: FaceTrack, texture: Texture, config: AppearanceConfig
    ) -> _Texels:
        fragments = atlas_for(model).texels(model, config.size)
        neutral = model.neutral(track.identity, track.offsets)
        ring = model.landmark_points(neutral)[list(FACE_OVAL)].astype(np.float64)
        near = (ring_distance(ring, neutral) > -config.beyond) & (neutral[:, 2] > 0)
        near |= model.vertex_part != SKIN
        face = near[model.triangles].any(1)
        rows, columns = np.nonzero((fragments.triangle >= 0) & face[fragments.triangle])
        triangle = fragments.triangle[rows, columns]
        base = cv2.resize(texture.image, (config.size, config.size), interpolation=cv2.INTER_AREA)
        return cls(
            model,
            neutral,
            (rows * config.size + columns).astype(np.int32),
            triangle,
            fragments.barycentric[rows, columns],
            model.triangle_part[triangle],
            base[rows, columns].astype(np.float32),
            TextureConfig(size=config.size),
        )

    def residual(
        self, track: FaceTrack, index: int, frame: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One frame minus the texture (N, 3), zero where it is not seen, and where it is seen (N,)."""
        motion = track.motion[index : index + 1]
        head = self.model.vertices(self.neutral, motion.expression, motion.gaze)[0]
        vertices = to_camera(head, motion.rotation[0], motion.translation[0])
        view = View.of(self.model, track, vertices, frame, self.texture_config)
        colour = np.zeros((len(self.flat), 3), np.uint8)
        confidence = np.zeros(len(self.flat), np.uint8)
        gather = partial(
            view.gather, self.triangle, self.weights, self.part, np.array([-1], np.int64),
            self.texture_config, colour, confidence,
        )  # fmt: skip
        in_threads(gather, len(self.flat))
        seen = (confidence > 60).astype(np.float32)
        values = colour.astype(np.float32)
        if len(track.light):
            shade = vertex_shading(self.model, vertices, track.light[index])[self.model.triangles]
            values /= np.einsum("nk,nkc->nc", self.weights, shade[self.triangle])
        return (values - self.base) * seen[:, None], seen


def _reduce(
    moved: NDArray[np.float32],
    seen: NDArray[np.float32],
    features: _Features,
    texels: _Texels,
    frames: int,
    config: AppearanceConfig,
) -> Appearance:
    """Ridge regression from the sums, then the basis pictures that explain most of what it predicts."""
    mean = moved[0].reshape(-1, 3) / np.maximum(seen[0], 1.0)[:, None]
    mean *= np.minimum(seen[0] / (0.1 * frames), 1.0)[:, None]
    # Where a texel is not seen, it is taken to be as on average.
    right = moved[1:].reshape(len(moved) - 1, -1, 3) - seen[1:, :, None] * mean
    gram = features.values.T @ features.values
    solved = np.linalg.solve(gram + config.ridge * frames * np.eye(len(gram)), np.eye(len(gram)))
    slopes = solved.astype(np.float32) @ right.reshape(len(gram), -1)  # (P, N * 3)
    root = np.linalg.cholesky(gram / frames + 1e-6 * np.eye(len(gram)))
    predicted = (root.T @ slopes).astype(np.float64)
    strength, axes = np.linalg.eigh(predicted @ predicted.T)
    order = np.argsort(-strength)[: config.basis]
    axes = axes[:, order]  # (P, K)
    pictures = axes.T @ predicted  # (K, N * 3)
    scale = np.maximum(np.abs(pictures).max(1) / 127.0, 1e-6)
    weights = features.project @ np.linalg.solve(root.T, axes) * scale
    coefficients = features.values @ np.linalg.solve(root.T, axes) * scale
    return Appearance(
        size=np.array([config.size], np.int32),
        texels=texels.flat,
        mean=mean.astype(np.float16),
        basis=(pictures / scale[:, None]).round().astype(np.int8).reshape(len(order), -1, 3),
        centre=features.centre.astype(np.float32),
        weights=weights.astype(np.float32),
        limit=np.stack([coefficients.min(0), coefficients.max(0)]).astype(np.float32),
    )
