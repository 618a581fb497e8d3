"""How a person moves beside what speech tells, measured in the clip: residual, blinks, rest mouth, speed limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from faces.track import FaceTrack, Motion
from motion.blinks import Blinks, find_blinks
from motion.dataset import ClipData
from motion.features import ENERGY, PITCH
from motion.targets import POSE, PoseFrame, lid_mask, mouth_mask

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """How this person moves beside what speech tells."""

    pose: PoseFrame
    """The mean pose."""
    residual: Array
    """(T, C) what speech leaves over: pose (6), face coefficients that are neither mouth nor lids, gaze (2), lids."""
    usable: NDArray[np.bool_]
    """(T,) frames whose track was observed."""
    prosody: Array
    """(T, 2) loudness and pitch of the clip's speech, see :func:`spoken_prosody`."""
    speed_limits: Array
    """(2,) the clip's 99.5th percentile of a frame's rotation step (radians) and translation step (mm)."""
    blinks: Blinks
    """Rate and shapes."""
    rest: Array
    """(E,) the face in this person's pauses; only the mouth's coefficients are used."""
    gaze: Array
    """(2,) mean gaze, radians."""
    lids: Array
    """(lids,) mean of the lids without blinks."""
    opening: Array
    """(E,) inner-lip opening per unit of each coefficient, in inter-ocular distances."""
    opening_rest: float
    """Opening of the neutral face."""
    opening_floor: float
    """The person's tightest closure: predictions do not press the lips through each other."""
    opening_closed: float
    """Opening at this person's bilabials, which predictions are brought down to."""
    closing: Array
    """(E,) how this person's mouth coefficients change per unit of opening."""
    clip: Motion
    """The clip's own motion, for the mode ``clip``."""


def measure_style(clip: FaceTrack, data: ClipData, explained: Array, contact: Array | None) -> Style:
    """The style that a clip shows.

    Args:
        clip: T frames.
        data: the same frames' targets and features.
        explained: (T, O) held-out prediction of the deviation from the mean; the residual is what it leaves.
        contact: (T,) probability that the lips meet for a bilabial, or None where nobody can tell.
    """
    names, valid, motion = clip.expression_names, data.valid, clip.motion
    expressions = len(names)
    mouth, lids = mouth_mask(names), lid_mask(names)
    face = ~mouth & ~lids
    blinks, open_lids = find_blinks(motion.expression[:, lids], valid, clip.fps)
    left = data.targets - data.normaliser.target_mean - explained
    residual = np.concatenate(
        [
            left[:, expressions:],
            left[:, :expressions][:, face],
            motion.gaze - motion.gaze[valid].mean(0),
            open_lids - open_lids[valid].mean(0),
        ],
        axis=1,
    )
    residual[:, :POSE] -= residual[valid, :POSE].mean(0)
    steps = np.diff(data.targets[:, expressions:], axis=0)[valid[1:] & valid[:-1]]
    limits = [
        np.percentile(np.linalg.norm(steps[:, part], axis=1), 99.5) for part in (slice(0, 3), slice(3, 6))
    ]
    expression = motion.expression
    paused = valid & (data.activity < 0.2)
    rest = expression[paused].mean(0) if paused.sum() >= 12 else expression[valid].mean(0)
    centred = data.opening[valid] - data.opening[valid].mean()
    closing = (
        (expression[valid] - expression[valid].mean(0)).T @ centred / max(float(centred @ centred), 1e-9)
    )
    closing = np.where(mouth, closing, 0)
    closing = closing / max(float(closing @ data.geometry.opening), 1e-3)
    return Style(
        pose=data.pose,
        residual=residual.astype(np.float32),
        usable=valid,
        prosody=spoken_prosody(data.raw),
        speed_limits=np.array(limits, np.float32),
        blinks=blinks,
        rest=rest.astype(np.float32),
        gaze=motion.gaze[valid].mean(0),
        lids=open_lids[valid].mean(0).astype(np.float32),
        opening=data.geometry.opening,
        opening_rest=data.geometry.rest,
        opening_floor=float(np.percentile(data.opening[valid], 1)),
        opening_closed=_closed_level(data.opening[valid], None if contact is None else contact[valid]),
        closing=closing.astype(np.float32),
        clip=motion,
    )


def spoken_prosody(features: Array) -> Array:
    """(T, D) raw features -> (T, 2) loudness and pitch over about 0.1 s, each of about unit spread while speaking.

    Both are relative to the speaker's own running level and register, so two speakers can be compared.
    """
    loudness = 2.0 * np.clip(features[:, ENERGY], -1.5, 0.75) + 1.0
    pitch = 3.0 * features[:, PITCH]
    return np.asarray(gaussian_filter1d(np.column_stack([loudness, pitch]), 1.5, axis=0), np.float32)


def _closed_level(opening: Array, contact: Array | None) -> float:
    """The opening of closed lips: seen at the clip's bilabials if there are some, else the clip's tightest."""
    tightest = float(np.percentile(opening, 5))
    if contact is None or (contact > 0.7).sum() < 4:
        return tightest
    # A bilabial seen half a frame early or late stands open; the lower quartile is the closed one.
    return max(tightest, float(np.percentile(opening[contact > 0.7], 25)))
