"""How a person moves beside what speech tells, measured in the clip: residual, blinks, rest mouth, speed limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faces.track import FaceTrack, Motion
from motion.blinks import Blinks, find_blinks
from motion.dataset import ClipData
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
    closing: Array
    """(E,) how this person's mouth coefficients change per unit of opening."""
    clip: Motion
    """The clip's own motion, for the mode ``clip``."""


def measure_style(clip: FaceTrack, data: ClipData, explained: Array) -> Style:
    """The style that a clip shows.

    Args:
        clip: T frames.
        data: the same frames' targets and features.
        explained: (T, O) standardised held-out prediction, of which the residual is what is left.
    """
    names, valid, motion = clip.expression_names, data.valid, clip.motion
    expressions = len(names)
    mouth, lids = mouth_mask(names), lid_mask(names)
    face = ~mouth & ~lids
    blinks, open_lids = find_blinks(motion.expression[:, lids], valid, clip.fps)
    left = data.targets - data.normaliser.target_mean - explained * data.normaliser.target_scale
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
        speed_limits=np.array(limits, np.float32),
        blinks=blinks,
        rest=rest.astype(np.float32),
        gaze=motion.gaze[valid].mean(0),
        lids=open_lids[valid].mean(0).astype(np.float32),
        opening=data.geometry.opening,
        opening_rest=data.geometry.rest,
        opening_floor=float(np.percentile(data.opening[valid], 1)),
        closing=closing.astype(np.float32),
        clip=motion,
    )
