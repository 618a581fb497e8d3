"""Invented people for ground truth: a shape that the model's identities can't quite say, and a painted skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from faces.atlas import atlas_for
from faces.light import vertex_normals
from faces.morphable import DEFAULT_MODEL, EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.mouth import LEFT_EYE, LIPS_INNER, RIGHT_EYE
from faces.track import Motion
from studio.complexion import Complexion, Noise, hair_cover, paint_head, smooth_step
from studio.face_region import face_region
from studio.mesh_surface import neighbour_mean
from studio.occlusion import ambient_occlusion
from studio.synthetic_looks import invent_look

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class PersonConfig:
    """How people differ."""

    identity_sigma: float = 0.8
    """Deviation of identity coefficients, in the model's standard deviations."""
    unmodelled_mm: float = 1.0
    """Root mean square over the face of a smooth displacement that no identity of the model can say."""
    gain: float = 0.1
    """Deviation of the share, smooth over the face, by which expressions move skin more or less than the model's."""
    atlas: int = 1024
    """Side of the painted texture in texels."""


@dataclass(frozen=True)
class SyntheticPerson:
    """One invented person."""

    model: MorphableModel
    """The morphable model."""
    neutral: NDArray[np.float32]
    """(V, 3) true neutral head in millimetres, hair included."""
    gain: NDArray[np.float32]
    """(V,) factor on the model's expression displacements."""
    look: Complexion
    """Colours and features."""
    albedo: NDArray[np.float32]
    """(A, A, 3) linear albedo in the atlas."""
    vertex_albedo: NDArray[np.float32]
    """(V, 3) linear albedo, for what the atlas does not chart."""
    occlusion: NDArray[np.float32]
    """(V,) share of an even sky that a vertex sees."""
    hair: NDArray[np.float32]
    """(V,) 0..1 hair."""

    @classmethod
    def invent(
        cls, seed: int, config: PersonConfig | None = None, model: MorphableModel | None = None
    ) -> SyntheticPerson:
        """The person of a seed."""
        config, model = config or PersonConfig(), model or MorphableModel.load()
        rng = np.random.default_rng([seed, 1])
        noise, look = Noise(seed), invent_look(rng, model)
        identity = rng.normal(0.0, config.identity_sigma, model.identity_basis.shape[-1])
        skin = model.neutral(identity, unmodelled_shape(rng, model, config.unmodelled_mm))
        hair = hair_cover(model.mean, look.hairline) * look.hair_cover * (model.vertex_part == SKIN)
        volume = rng.uniform(0.4, 1.4) * (8.0 + 9.0 * smooth_step(model.mean[:, 1], 40.0, 100.0))
        thickness = hair * volume * (1.0 + 0.15 * noise(model.mean, 14.0))
        neutral = (skin + vertex_normals(skin, model.triangles) * thickness[:, None]).astype(np.float32)
        albedo, vertex_albedo = _paint(model, look, noise, config.atlas)
        return cls(
            model=model,
            neutral=neutral,
            gain=_expression_gain(rng, model, config.gain),
            look=look,
            albedo=albedo,
            vertex_albedo=vertex_albedo,
            occlusion=_occlusion(model, neutral),
            hair=hair.astype(np.float32),
        )

    @cached_property
    def shut(self) -> float:
        """``eyeBlink`` at which this person's lids just meet, with the squint that ``studio.acting`` adds."""
        upper, lower = [159, 386], [145, 374]
        gaps = []
        for amount in (0.0, 1.0):
            row = np.zeros((1, len(self.model.expression_names)), np.float32)
            for side in ("Left", "Right"):
                row[0, self.model.expression_index(f"eyeBlink{side}")] = amount
                row[0, self.model.expression_index(f"eyeSquint{side}")] = 0.3
            zeros = np.zeros((1, 3), np.float32)
            still = Motion(zeros, zeros, row, zeros[:, :2])
            points = self.model.landmark_points(self.vertices(still))[0]
            gaps.append(float((points[upper, 1] - points[lower, 1]).mean()))
        return float(np.clip((gaps[0] + 0.4) / max(gaps[0] - gaps[1], 1e-3), 0.4, 1.0))

    def vertices(self, motion: Motion) -> NDArray[np.float32]:
        """(T, V, 3) posed heads in head axes, millimetres."""
        posed = self.model.vertices(self.neutral, motion.expression, motion.gaze)
        eyes = self.model.vertex_part == EYES
        moved = (posed - self.neutral) * self.gain[:, None] + self.neutral
        return np.where(eyes[:, None], posed, moved).astype(np.float32)


def unmodelled_shape(rng: np.random.Generator, model: MorphableModel, rms_mm: float) -> NDArray[np.float32]:
    """(V, 3) millimetres: smooth, random, mostly symmetric; what the model's identities can say is taken out.

    Without it the fit would search among exactly the shapes that the truth was drawn from.
    """
    noise = Noise(int(rng.integers(1 << 31)))
    points = _without_parts(model)
    folded = points.copy()
    folded[:, 0] = np.sqrt(points[:, 0] ** 2 + 9.0)
    field = np.empty((len(points), 3))
    for axis in range(3):
        shift = 1000.0 * axis
        even = noise(folded + shift, 42.0) + 0.35 * noise(folded + shift + 333.0, 22.0)
        odd = noise(points + shift + 500.0, 42.0)
        field[:, axis] = even * (np.clip(points[:, 0] / 12, -1, 1) if axis == 0 else 1.0) + 0.25 * odd
    smooth = neighbour_mean(model.triangles, model.vertex_count)
    for _ in range(4):
        field = smooth @ field
    face = face_region(model)
    basis = model.identity_basis[face].reshape(-1, model.identity_basis.shape[-1]).astype(np.float64)
    said = np.linalg.lstsq(basis, field[face].ravel(), rcond=0.02)[0]
    # What identities do beyond the face is not wanted there: it fades out.
    beyond, _ = cKDTree(model.mean[face]).query(model.mean)
    field = field - (model.identity_basis @ said) * smooth_step(beyond, 30.0, 3.0)[:, None]
    field = field * rms_mm / np.sqrt((field[face] ** 2).sum(1).mean())
    moved = model.landmark_points(field)
    for ball, ring in zip(model.eyeballs, (RIGHT_EYE, LEFT_EYE), strict=True):
        field[ball] = moved[list(ring)].mean(0)
    field[np.isin(model.vertex_part, (TEETH, TONGUE))] = moved[list(LIPS_INNER)].mean(0)
    return field.astype(np.float32)


def _without_parts(model: MorphableModel) -> Floats:
    """(V, 3) mean positions; each eyeball, and all of teeth and tongue, in one point: they move rigidly."""
    points = model.mean.astype(np.float64)
    for ball in model.eyeballs:
        points[ball] = points[ball].mean(0)
    mouth = np.isin(model.vertex_part, (TEETH, TONGUE))
    points[mouth] = points[mouth].mean(0)
    return points


def _expression_gain(
    rng: np.random.Generator, model: MorphableModel, deviation: float
) -> NDArray[np.float32]:
    noise = Noise(int(rng.integers(1 << 31)))
    gain = 1.0 + deviation * noise(_without_parts(model), 45.0)
    near = np.linalg.norm(model.mean[:, None] - model.eye_centres, axis=-1).min(1)
    gain = 1.0 + (gain - 1.0) * smooth_step(near, 20.0, 32.0)  # lids must meet
    return np.clip(gain, 0.6, 1.4).astype(np.float32)


def _paint(
    model: MorphableModel, look: Complexion, noise: Noise, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Albedo in the atlas and at the vertices, painted on the mean head: brows sit where this model's brows are."""
    with np.load(DEFAULT_MODEL, allow_pickle=False) as content:
        lips = content["lips"].astype(np.float32)
    mean = model.mean.astype(np.float64)
    texels = atlas_for(model).texels(model, size)
    covered = texels.triangle >= 0
    values = texels.interpolate(np.column_stack([mean, lips]), model.triangles)[covered].astype(np.float64)
    part = model.triangle_part[texels.triangle[covered]]
    albedo = np.zeros((size, size, 3), np.float32)
    albedo[covered] = paint_head(look, noise, model, mean, lips, part, values[:, :3], values[:, 3])
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    albedo = albedo[nearest[0], nearest[1]]  # colour beyond the charts' edges, for bilinear sampling
    vertices = paint_head(look, noise, model, mean, lips, model.vertex_part, mean, lips)
    return np.clip(albedo, 0, 1), np.clip(vertices, 0, 1).astype(np.float32)


def _occlusion(model: MorphableModel, neutral: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ambient occlusion with the lips apart; the inside of the mouth has its darkness painted on."""
    opened = np.zeros((1, len(model.expression_names)), np.float32)
    opened[0, model.expression_index("jawOpen")] = 0.25
    shape = model.vertices(neutral, opened)[0].astype(np.float64)
    seen = ambient_occlusion(shape, model.triangles)
    seen[model.vertex_part == TEETH] = 0.65
    seen[np.isin(model.vertex_part, (TONGUE, INNER_MOUTH))] = 0.4
    smooth = neighbour_mean(model.triangles, model.vertex_count)
    return np.asarray(smooth @ (smooth @ seen), np.float32)
