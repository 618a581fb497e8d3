"""What the network is taught: expression coefficients and head pose, standardised, and how much each is worth.

An error is worth what it moves. The mouth's coefficients are measured together, in millimetres of lip landmarks (two
coefficients that cancel cost nothing); the rest of the face and the pose count little, because speech explains little
of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from faces.morphable import MorphableModel
from faces.mouth import LIPS, LOWER_INNER, UPPER_INNER, inter_ocular_distance
from faces.registry import installed_models, model_named
from faces.rotation import compose
from faces.track import FaceTrack, Motion

Array = NDArray[np.float32]

POSE = 6
"""Targets after the expressions: rotation relative to the mean (3, radians), translation relative to it (3, mm)."""
MOUTH_PREFIXES = ("jaw", "mouth", "tongue", "cheekPuff", "mh:mouth")
LID_PREFIXES = ("eyeBlink",)
CALM = 3.0
"""Standard deviation in frames of the smoothing of head and brows that speech predicts."""
WEIGHT_MOUTH, WEIGHT_FACE, WEIGHT_POSE = 1.0, 0.1, 0.15
"""Share of each group in the loss."""


def mouth_mask(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """(E,) True for the coefficients that move lips, jaw, tongue or cheeks with speech."""
    return np.array([name.startswith(MOUTH_PREFIXES) for name in names], dtype=bool)


def lid_mask(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """(E,) True for the coefficients that close the eyes."""
    return np.array([name.startswith(LID_PREFIXES) for name in names], dtype=bool)


def calmed(values: Array, names: tuple[str, ...]) -> Array:
    """(T, O) predicted targets with all but the mouth smoothed over :data:`CALM` frames.

    What speech tells of a head is slow; the rest of a prediction is noise that a head must not tremble with.
    """
    rest = np.append(~mouth_mask(names), np.ones(POSE, bool))
    result = np.array(values, np.float32)
    result[:, rest] = gaussian_filter1d(result[:, rest], CALM, axis=0, mode="nearest")
    return result


@dataclass(frozen=True)
class PoseFrame:
    """The mean pose that deviations are measured from."""

    rotation: Array
    """(3,) axis-angle of the mean rotation."""
    translation: Array
    """(3,) mean translation in mm."""

    @staticmethod
    def of(motion: Motion, valid: NDArray[np.bool_]) -> PoseFrame:
        """The mean over the valid frames (the rotation's by three steps of the Karcher mean)."""
        mean = motion.rotation[valid][0].astype(np.float64)
        for _ in range(3):
            mean = compose(mean, compose(-mean, motion.rotation[valid]).mean(0))
        return PoseFrame(mean.astype(np.float32), motion.translation[valid].mean(0))

    def deviation(self, motion: Motion) -> Array:
        """(T, 6): axis-angle of mean^-1 R, and translation minus the mean."""
        turned = compose(-self.rotation, motion.rotation)
        return np.concatenate([turned, motion.translation - self.translation], axis=1).astype(np.float32)

    def pose(self, deviation: Array) -> tuple[Array, Array]:
        """(T, 6) -> rotation (T, 3) and translation (T, 3): the inverse of :meth:`deviation`."""
        rotation = compose(self.rotation, deviation[:, :3]).astype(np.float32)
        return rotation, (deviation[:, 3:] + self.translation).astype(np.float32)


@dataclass(frozen=True)
class MouthGeometry:
    """Linear lip geometry of one person."""

    lips: Array
    """(R, E) millimetres (times weights) per unit of each coefficient; R rows span what the lip landmarks do."""
    opening: Array
    """(E,) change of the inner-lip opening per unit, in inter-ocular distances."""
    rest: float
    """Opening of the neutral face."""


def mouth_geometry(track: FaceTrack) -> MouthGeometry:
    """Lip geometry by the track's morphable model, or by the coefficients' names if it is not installed here."""
    names = track.expression_names
    model = model_named(track.model) if track.model in installed_models() else None
    if (
        model is None
        or not set(names) <= set(model.expression_names)
        or len(track.identity) != model.identity_basis.shape[2]
    ):
        mouth = mouth_mask(names).astype(np.float32)
        opening = np.array([0.25 * (n == "jawOpen") - 0.15 * (n == "mouthClose") for n in names], np.float32)
        return MouthGeometry(np.diag(10 * mouth)[mouth > 0], opening, 0.0)
    offsets = track.offsets if track.offsets.shape == model.mean.shape else None
    return head_geometry(model, names, model.neutral(track.identity, offsets))


def head_geometry(model: MorphableModel, names: tuple[str, ...], neutral: Array) -> MouthGeometry:
    """Lip geometry of a head: its neutral vertices (V, 3) in mm, for some of the model's expressions."""
    index = [model.expression_index(name) for name in names]
    rows = _lip_rows(model.name)[:, :, index]  # (lips, 3, E)
    flat = rows.reshape(-1, len(index)) * mouth_mask(names)
    _, sizes, directions = np.linalg.svd(flat, full_matrices=False)
    kept = sizes > 1e-3 * max(float(sizes[0]), 1e-9)
    lips = (sizes[kept, None] * directions[kept]) / np.sqrt(len(rows))  # rms over landmarks, in mm
    coefficients = np.zeros((1 + len(index), len(model.expression_names)), np.float32)
    coefficients[1 + np.arange(len(index)), index] = 0.25  # about the size of speech
    openings = signed_opening(model.landmark_points(model.vertices(neutral, coefficients)))
    slope = 4 * (openings[1:] - openings[0])
    return MouthGeometry(lips.astype(np.float32), slope.astype(np.float32), float(openings[0]))


def signed_opening(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T, 478, 3) landmarks in head axes -> (T,) inner-lip gap over the inter-ocular distance, negative if crossed.

    The gap is measured along the head's vertical alone: it is then linear in the vertices, also where the lips touch
    (their distance in space never gets to zero, as they do not meet point to point).
    """
    gap = points[:, UPPER_INNER, 1].mean(1) - points[:, LOWER_INNER, 1].mean(1)
    return np.asarray(gap / inter_ocular_distance(points), np.float64)


def loss_metric(geometry: MouthGeometry, names: tuple[str, ...], spread: Array, scale: Array) -> Array:
    """(O, R) matrix for :func:`motion.network.sequence_loss`.

    Args:
        geometry: lip geometry.
        names: the E expression names.
        spread: (T, O) centred targets in their own units: sets the total that the errors are compared with.
        scale: (O,) what the targets were divided by.
    """
    expressions = len(names)
    mouth = mouth_mask(names)
    lips = geometry.lips.T  # (E, R)
    total = float(np.square(spread[:, :expressions] @ lips).sum(1).mean())
    columns = [
        np.pad(
            scale[:expressions, None] * lips * np.sqrt(WEIGHT_MOUTH / max(total, 1e-9)), ((0, POSE), (0, 0))
        )
    ]
    groups = ((np.nonzero(~mouth)[0], WEIGHT_FACE), (expressions + np.arange(POSE), WEIGHT_POSE))
    for index, weight in groups:
        if len(index):
            block = np.zeros((expressions + POSE, len(index)))
            block[index, np.arange(len(index))] = np.sqrt(weight / len(index))
            columns.append(block)
    # A little of each mouth coefficient too: directions that move no landmark must not wander.
    index = np.nonzero(mouth)[0]
    block = np.zeros((expressions + POSE, len(index)))
    block[index, np.arange(len(index))] = np.sqrt(0.05 / max(len(index), 1))
    columns.append(block)
    return np.concatenate(columns, axis=1).astype(np.float32)


@lru_cache(maxsize=4)
def _lip_rows(name: str) -> Array:
    """(lips, 3, E_model) millimetres per unit of the model of that name."""
    model = model_named(name)
    return model.landmark_rows(model.expression_basis)[list(LIPS)].astype(np.float32)
