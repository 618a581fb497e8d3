"""Learn how a person's texture changes with their motion (``faces.appearance``), from all frames of the clip.

Each frame, unwrapped into the atlas in its own light, differs from the texture. Per region (mouth, eyes, the rest) the
differences' principal components become basis pictures, and kernel ridge regression explains their coefficients by
expression, rotation, gaze and place. A second regression per eighth of the clip, without that eighth, tells what the
coefficients would be had a frame not been seen: that is what a network meets when it is used, and has to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.appearance import Appearance, bounded, motion_features, place, squared_distances
from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.light import vertex_shading
from faces.morphable import EYES, SKIN, MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from faces.registry import model_named
from faces.ring import ring_distance
from faces.texture import Texture
from faces.track import FaceTrack, Motion
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
    basis: tuple[int, int, int] = (24, 16, 12)
    """Basis pictures of mouth, eyes and the rest."""
    expressions: int = 24
    """Principal components of the expressions that the regression sees."""
    pose: float = 0.5
    """Weight of rotation, gaze and place, each of variance one, beside the expressions' first component."""
    reach: float = 0.5
    """Squared distance at which likeness falls to 1/e, as a share of the median one between frames."""
    slope: float = 1.0
    """Weight of the linear part beside the kernel."""
    ridge: float = 0.3
    """Strength of the ridge, beside a kernel of one for a frame with itself."""
    blocks: int = 8
    """Parts of the clip of which each is once left out."""
    gap: int = 5
    """Frames on either side of such a part that are left out with it."""
    lips: float = 8.0
    """Millimetres round the lips that belong to the mouth."""
    lids: float = 9.0
    """Millimetres round the lids that belong to the eyes."""
    beyond: float = 9.0
    """Millimetres past the face oval that still change."""


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
    # A byte per difference: 115 MB for 300 frames.
    moved = np.empty((len(chosen), len(texels.flat), 3), np.int8)
    seen = np.empty((len(chosen), len(texels.flat)), np.bool_)
    for n, index in enumerate(chosen):
        residual, visible = texels.residual(track, int(index), frames[int(index)])
        moved[n] = residual.round().clip(-127, 127)
        seen[n] = visible > 0
        progress(Tick("fit.appearance", n + 1, len(chosen)))
    regression = _Regression.of(track.motion, chosen, config)
    return replace(texture, appearance=_reduce(moved, seen, regression, texels, config))


@dataclass(frozen=True)
class _Regression:
    """Kernel ridge regression from motion: what each of T chosen frames' targets add to a prediction."""

    centre: NDArray[np.float32]  # (E + 8,)
    project: NDArray[np.float32]  # (E + 8, P)
    anchors: NDArray[np.float32]  # (T, P) the chosen frames
    reach: float
    solve: Floats  # (T, T) from targets to weights
    fair: Floats  # (F, T) from targets to what each of the clip's frames would be predicted as, left out
    config: AppearanceConfig

    @classmethod
    def of(cls, motion: Motion, chosen: NDArray[np.int64], config: AppearanceConfig) -> _Regression:
        raw = motion_features(motion[chosen])
        centre = raw.mean(0)
        expressions = motion.expression.shape[1]
        around = (raw - centre).astype(np.float64)
        _, strength, directions = np.linalg.svd(around[:, :expressions], full_matrices=False)
        count = min(config.expressions, len(strength))
        project = np.zeros((raw.shape[1], count + raw.shape[1] - expressions))
        # Half way (on a log scale) between variances as they are and variances of one: the small components tell too,
        # but are noisier.
        usual = strength[:count] / np.sqrt(len(chosen))
        usual = np.sqrt(max(float(usual[0]), 1e-2) * np.maximum(usual, 0.01 * max(float(usual[0]), 1e-2)))
        project[:expressions, :count] = directions[:count].T / usual
        # Floors of a tenth of a degree and of a millimetre: what never moves explains nothing.
        least = np.r_[np.full(5, 2e-3), np.full(3, 1.0)]
        others = config.pose / np.maximum(around[:, expressions:].std(0), least)
        project[expressions:, count:] = np.diag(others)
        points = place(motion, centre, project.astype(np.float32)).astype(np.float64)
        anchors = points[chosen]
        apart = squared_distances(anchors, anchors)
        reach = max(config.reach * float(np.median(apart)), 1e-6)
        kernel = _kernel(points, anchors, reach, config.slope)  # (F, T)
        ridge = config.ridge * np.eye(len(chosen))
        fair = np.zeros((len(points), len(chosen)))
        for block in np.array_split(np.arange(len(points)), config.blocks):
            if len(block) == 0:
                continue
            near = (chosen >= block[0] - config.gap) & (chosen <= block[-1] + config.gap)
            kept = np.nonzero(~near)[0] if not near.all() else np.arange(len(chosen))
            inner = kernel[chosen[kept]][:, kept] + ridge[: len(kept), : len(kept)]
            fair[np.ix_(block, kept)] = np.linalg.solve(inner, kernel[np.ix_(block, kept)].T).T
        return cls(
            centre, project.astype(np.float32), anchors.astype(np.float32), reach,
            np.linalg.inv(kernel[chosen] + ridge), fair, config,
        )  # fmt: skip

    def weights(self, targets: Floats) -> tuple[Floats, Floats]:
        """(T, K) -> kernel weights (T, K) and linear ones with the constant (P + 1, K)."""
        kernel = self.solve @ targets
        slopes = self.config.slope / self.anchors.shape[1] * (self.anchors.T @ kernel)
        return kernel, np.vstack([slopes, kernel.sum(0)])


def _kernel(points: Floats, anchors: Floats, reach: float, slope: float) -> Floats:
    """(F, P), (T, P) -> (F, T): likeness, a linear part and a constant."""
    result: Floats = (
        np.exp(-squared_distances(points, anchors) / reach) + slope / points.shape[1] * points @ anchors.T + 1
    )
    return result


@dataclass(frozen=True)
class _Texels:
    """The atlas texels of the face."""

    model: MorphableModel
    neutral: NDArray[np.float32]
    flat: NDArray[np.int32]  # (N,) row * size + column
    triangle: NDArray[np.int32]  # (N,)
    weights: NDArray[np.float32]  # (N, 3)
    part: NDArray[np.uint8]  # (N,)
    region: NDArray[np.int64]  # (N,) 0 mouth, 1 eyes, 2 the rest; ascending
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
        region = _regions(model, neutral, config)[model.triangles[triangle]].min(1)
        order = np.argsort(region, kind="stable")
        rows, columns, triangle, region = rows[order], columns[order], triangle[order], region[order]
        base = cv2.resize(texture.image, (config.size, config.size), interpolation=cv2.INTER_AREA)
        return cls(
            model,
            neutral,
            (rows * config.size + columns).astype(np.int32),
            triangle,
            fragments.barycentric[rows, columns],
            model.triangle_part[triangle],
            region,
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


def _regions(
    model: MorphableModel, neutral: NDArray[np.float32], config: AppearanceConfig
) -> NDArray[np.int64]:
    """(V,) of each vertex 0 mouth, 1 eyes, 2 the rest."""
    points = model.landmark_points(neutral).astype(np.float64)
    region = np.full(len(neutral), 2)
    for ring in (LEFT_EYE, RIGHT_EYE):
        region[(ring_distance(points[list(ring)], neutral) > -config.lids) & (neutral[:, 2] > 0)] = 1
    region[model.vertex_part == EYES] = 1
    region[(ring_distance(points[list(LIPS_OUTER)], neutral) > -config.lips) & (neutral[:, 2] > 0)] = 0
    region[(model.vertex_part != SKIN) & (model.vertex_part != EYES)] = 0  # teeth, tongue, the mouth's inside
    return region


def _reduce(
    moved: NDArray[np.int8],
    seen: NDArray[np.bool_],
    regression: _Regression,
    texels: _Texels,
    config: AppearanceConfig,
) -> Appearance:
    """Per region the basis pictures of differences (T, N, 3), and the regression of their coefficients."""
    frames = len(moved)
    mean = np.empty(moved.shape[1:], np.float32)
    pictures, shapes, targets, scales = [], [], [], []

    def around_mean(part: slice) -> NDArray[np.float32]:
        """Differences (T, n * 3) to the mean; where a texel is not seen, it is taken to be as on average."""
        difference = (moved[:, part] - mean[part]) * seen[:, part, None]
        return difference.reshape(frames, -1)

    for region, rank in enumerate(config.basis):
        low, high = np.searchsorted(texels.region, [region, region + 1])
        parts = [slice(start, min(start + 4096, high)) for start in range(low, high, 4096)]
        gram = np.zeros((frames, frames))
        for part in parts:
            times = seen[:, part].sum(0)
            total = np.einsum("tnc,tn->nc", moved[:, part], seen[:, part], dtype=np.float32, casting="unsafe")
            mean[part] = (
                total / np.maximum(times, 1)[:, None] * np.minimum(times / (0.1 * frames), 1.0)[:, None]
            )
            difference = around_mean(part)
            gram += difference @ difference.T
        strength, axes = np.linalg.eigh(gram)
        order = np.argsort(-strength)[: min(rank, frames)]
        axes = axes[:, order]
        # (K_g, N_g * 3), of length sqrt(strength)
        found = [axes.T.astype(np.float32) @ around_mean(part) for part in parts]
        basis = np.concatenate(found, axis=1) if found else np.zeros((len(order), 0), np.float32)
        scale = np.maximum(np.abs(basis).max(1, initial=0.0) / 127.0, 1e-6)
        pictures.append((basis / scale[:, None]).round().astype(np.int8).ravel())
        shapes.append((high - low, len(order)))
        targets.append(axes)
        scales.append(scale)
    scale = np.concatenate(scales)
    target = np.concatenate(targets, axis=1) * scale  # (T, K)
    kernel, linear = regression.weights(target)
    limit = np.stack([target.min(0), target.max(0)])
    return Appearance(
        size=np.array([config.size], np.int32),
        texels=texels.flat,
        mean=mean.astype(np.float16),
        regions=np.array(shapes, np.int32),
        basis=np.concatenate(pictures),
        centre=regression.centre,
        project=regression.project,
        anchors=regression.anchors,
        reach=np.array([regression.reach], np.float32),
        kernel=kernel.astype(np.float32),
        linear=linear.astype(np.float32),
        limit=limit.astype(np.float32),
        unseen=bounded(regression.fair @ target, limit),
    )
