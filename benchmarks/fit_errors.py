"""How far a fitted track is from the truth of a synthetic clip.

Two things can't be known from one camera and are taken out before measuring, beside the plain figures:

- **Where the head's own axes are.** The head frame is fixed by the neutral shape alone: two fits whose neutral faces
  are turned a little against each other describe the same pictures with other rotations. The fitted neutral face is
  laid onto the true one rigidly (least squares over the face region, no scale), and rotation and translation are those
  of the aligned head: ``rotation_deg`` and ``translation_pct``, the headline figures, as they say where the face is
  whatever its axes are called. ``rotation_raw_deg`` is without.
- **How large the head is.** Twice the head at twice the distance gives the same picture. ``mesh_mm`` and
  ``translation_pct`` hold the fit to the true millimetres all the same (the model's prior knows how large heads are);
  ``mesh_scaled_mm`` and ``translation_scaled_pct`` allow one factor per clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from faces.camera import HEAD_TO_CAMERA
from faces.morphable import MorphableModel, gaze_matrices
from faces.rotation import exp_map, log_map
from faces.track import FaceTrack
from studio.acting import Blink
from studio.face_region import face_region
from studio.synthetic_clips import SyntheticClip

Floats = NDArray[np.float64]

LIP_PAIRS = ((82, 87), (13, 14), (312, 317))
"""Upper and lower landmark of the three middle pairs of the inner lip ring."""
LID_PAIRS = ((160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380))
"""Upper and lower lid."""


@dataclass(frozen=True)
class FitErrors:
    """Errors of one clip; arrays hold one value for each frame in which a face was found."""

    rotation_deg: Floats
    """Angle between fitted and true rotation, head axes aligned."""
    rotation_raw_deg: Floats
    """The same, head axes as fitted."""
    rotation_turns_deg: Floats
    """The same without the clip's mean difference: how well turns are followed."""
    translation_pct: Floats
    """Distance between fitted and true translation in % of the true distance, head axes aligned."""
    translation_scaled_pct: Floats
    """The same when the fitted scene may be scaled by one factor."""
    mesh_mm: Floats
    """Mean distance of face vertices, neutral and expression, in the aligned head frame."""
    mesh_scaled_mm: Floats
    """The same when the fitted head may be scaled by one factor."""
    lip_gap_mm: Floats
    """Absolute error of the inner-lip gap, mean of three pairs of points on the head."""
    gaze_deg: Floats
    """Angle between fitted and true gaze relative to the head; frames of blinks are left out."""
    focal_pct: float
    """Absolute error of the focal length in % of the true one."""
    found: float
    """Share of frames in which a face was found."""
    blinks: int
    """True blinks."""
    blinks_found: int
    """Those with a detected closure whose peak is at most a frame away."""
    blinks_false: int
    """Detected closures without a true blink within three frames."""
    seconds: float
    """Length of the clip."""


PER_FRAME = tuple(f.name for f in fields(FitErrors) if f.type == "Floats")
"""Names of the errors with one value a frame."""


def fit_errors(track: FaceTrack, clip: SyntheticClip) -> FitErrors:
    """Errors of ``track``, fitted to the frames or landmarks of ``clip`` with the same morphable model."""
    model = clip.person.model
    seen = np.nonzero(track.valid)[0]
    face = face_region(model)
    neutral = model.neutral(track.identity, track.offsets).astype(np.float64)
    true_neutral = clip.person.neutral.astype(np.float64)
    turn, shift, _ = rigid_alignment(neutral[face], true_neutral[face], scaled=False)
    turn_s, shift_s, scale = rigid_alignment(neutral[face], true_neutral[face], scaled=True)

    motion, truth = track.motion[seen], clip.motion[seen]
    distance = np.linalg.norm(truth.translation, axis=1)
    rotation = HEAD_TO_CAMERA @ exp_map(motion.rotation)  # (T, 3, 3) head to camera
    true_rotation = HEAD_TO_CAMERA @ exp_map(truth.rotation)

    def displaced(turned: Floats, moved: Floats, factor: float) -> Floats:
        # x = R p + t with p = (turned' (q - moved)) / factor; seen at ``factor`` times the size and distance.
        aligned = rotation @ turned.T
        translation = factor * motion.translation - np.einsum("tij,j->ti", aligned, moved)
        return 100 * np.linalg.norm(translation - truth.translation, axis=1) / distance

    posed = model.vertices(neutral, motion.expression)
    true_posed = clip.person.vertices(truth)
    found, false = match_blinks(detected_blinks(lid_gaps(model, posed)), clip.blinks, seen)
    lips = lip_gap(model, posed) - lip_gap(model, true_posed)
    open_eyes = np.ones(len(clip.motion), bool)
    for blink in clip.blinks:
        open_eyes[blink.start : blink.end + 1] = False
    return FitErrors(
        rotation_deg=_angle(rotation @ turn.T, true_rotation),
        rotation_raw_deg=_angle(rotation, true_rotation),
        rotation_turns_deg=_angle(
            rotation @ _mean_rotation(np.swapaxes(rotation, 1, 2) @ true_rotation), true_rotation
        ),
        translation_pct=displaced(turn, shift, 1.0),
        translation_scaled_pct=displaced(turn_s, shift_s, scale),
        mesh_mm=_mean_distance(posed[:, face], true_posed[:, face], scaled=False),
        mesh_scaled_mm=_mean_distance(posed[:, face], true_posed[:, face], scaled=True),
        lip_gap_mm=np.abs(lips),
        gaze_deg=_angle(gaze_matrices(motion.gaze), gaze_matrices(truth.gaze), axis=2)[open_eyes[seen]],
        focal_pct=100 * abs(track.camera.focal / clip.camera.focal - 1),
        found=len(seen) / len(track),
        blinks=len(clip.blinks),
        blinks_found=found,
        blinks_false=false,
        seconds=len(track) / track.fps,
    )


def summary(errors: Sequence[FitErrors]) -> dict[str, object]:
    """Frames of all people pooled: ``{"rotation_deg": {"p50", "p95"}, ...}``, and how blinks and detection went."""
    result: dict[str, object] = {}
    for name in (*PER_FRAME, "focal_pct"):
        pooled = np.concatenate([np.atleast_1d(getattr(e, name)) for e in errors])
        result[name] = {f"p{q}": round(float(np.percentile(pooled, q)), 3) for q in (50, 95)}
    total = sum(e.blinks for e in errors)
    found = sum(e.blinks_found for e in errors)
    minutes = sum(e.seconds for e in errors) / 60
    result["blinks"] = {
        "true": total,
        "found_within_a_frame": found,
        "share": round(found / total, 3) if total else None,
        "false_per_minute": round(sum(e.blinks_false for e in errors) / minutes, 2),
    }
    result["face_found"] = round(float(np.mean([e.found for e in errors])), 4)
    result["people"] = len(errors)
    result["frames"] = int(sum(len(e.rotation_deg) for e in errors))
    return result


def rigid_alignment(source: Floats, target: Floats, *, scaled: bool) -> tuple[Floats, Floats, float]:
    """Least-squares R (3, 3), t (3,), s with ``target = s R source + t`` over (N, 3) points; s = 1 unless ``scaled``.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    middle, goal = source.mean(0), target.mean(0)
    a, b = source - middle, target - goal
    u, values, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * mirror) @ vt
    scale = float((values * mirror).sum() / (a**2).sum()) if scaled else 1.0
    return turn, goal - scale * turn @ middle, scale


def _mean_distance(source: NDArray[np.floating], target: NDArray[np.floating], *, scaled: bool) -> Floats:
    """(T, N, 3) heads, one alignment for all frames -> (T,) mean distance."""
    turn, shift, scale = rigid_alignment(
        source.reshape(-1, 3).astype(np.float64), target.reshape(-1, 3).astype(np.float64), scaled=scaled
    )
    return np.asarray(np.linalg.norm(scale * source @ turn.T + shift - target, axis=-1).mean(-1), np.float64)


def _mean_rotation(rotations: Floats) -> Floats:
    """(T, 3, 3) -> (3, 3): the rotation nearest to all in the least-squares sense."""
    u, _, vt = np.linalg.svd(rotations.mean(0))
    return np.asarray((u * [1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt)


def _angle(one: Floats, other: Floats, axis: int | None = None) -> Floats:
    """(T,) degrees between rotations (T, 3, 3), or between their images of one axis."""
    if axis is None:
        return np.degrees(np.linalg.norm(log_map(one @ np.swapaxes(other, 1, 2)), axis=1))
    cosine = (one[:, :, axis] * other[:, :, axis]).sum(1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def lip_gap(model: MorphableModel, posed: NDArray[np.floating]) -> Floats:
    """(T, V, 3) heads -> (T,) millimetres between the inner lips, mean of three pairs."""
    points = model.landmark_points(posed).astype(np.float64)
    upper, lower = np.array(LIP_PAIRS).T
    return np.asarray(np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(-1))


def lid_gaps(model: MorphableModel, posed: NDArray[np.floating]) -> Floats:
    """(T, V, 3) heads in head axes -> (T,) millimetres from lower to upper lids, negative when they overlap."""
    points = model.landmark_points(posed).astype(np.float64)
    upper, lower = np.array(LID_PAIRS).T
    return np.asarray((points[:, upper, 1] - points[:, lower, 1]).mean(-1))


def detected_blinks(gap: Floats) -> NDArray[np.int64]:
    """Frames of the peaks of closure: lids at most 55 % as far apart as usual, and 30 % nearer than round about.

    Closure is 1 - gap / usual gap, where usual is the 80th percentile of the clip.
    """
    closure = 1 - gap / max(float(np.percentile(gap, 80)), 1e-6)
    peaks, _ = find_peaks(np.pad(closure, 1, constant_values=0.0), height=0.45, prominence=0.3)
    return peaks - 1


def match_blinks(
    peaks: NDArray[np.int64], blinks: tuple[Blink, ...], seen: NDArray[np.int64]
) -> tuple[int, int]:
    """How many true blinks have a peak within a frame, and how many peaks have no blink within three frames.

    ``seen`` gives the clip's frame of each fitted frame.
    """
    at = seen[peaks]
    truth = np.array([blink.peak for blink in blinks], np.int64)
    if not len(at) or not len(truth):
        return 0, len(at)
    apart = np.abs(at[:, None] - truth[None])
    return int((apart.min(0) <= 1).sum()), int((apart.min(1) > 3).sum())
