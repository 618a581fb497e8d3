"""All metrics of one generated clip against the real one, streamed so that memory stays flat."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.curves import best_lag, correlation, range_ratio
from evaluation.head_pose import head_angles, head_pose_similarity, velocity_distance
from evaluation.identity import identity_distance
from evaluation.landmark_motion import jitter_ratio, lip_distance
from evaluation.metrics import json_number
from evaluation.pixels import psnr, sharpness, ssim
from evaluation.regions import face_box, hull_mask, mouth_box, visible
from faces.camera import Camera
from faces.mouth import eye_aperture, mouth_opening


@dataclass(frozen=True)
class Take:
    """One clip as the metrics see it: T frames, their landmarks and some descriptors."""

    frames: Iterable[NDArray[np.uint8]]
    """(H, W, 3) uint8 RGB pictures; read once, in order, together with the other take's."""
    landmarks: NDArray[Any]
    """(T, 478, 2) pixels, NaN where no face was found."""
    descriptors: NDArray[Any]
    """(N, D) face descriptors of some of the frames, or (0, 0)."""


@dataclass(frozen=True)
class PixelScores:
    """Means over the frames in which the real clip shows a face; NaN when there is none."""

    psnr_face: float
    """dB, landmark box + 15 %."""
    psnr_hull: float
    """dB, inside the convex hull of the landmarks."""
    ssim_face: float
    """-1..1, luma, landmark box + 15 %."""
    psnr_mouth: float
    """dB, box of the lip landmarks + 30 %."""
    sharpness_mouth_ratio: float
    """Laplacian energy, generated / real, each in the mouth box of its own landmarks."""


@dataclass(frozen=True)
class Scores:
    """One column of the table; ``evaluation.metrics`` names and explains the fields."""

    psnr_face: float
    psnr_hull: float
    ssim_face: float
    psnr_mouth: float
    lmd_lips_pct_iod: float
    lmd_lips_place_pct_iod: float
    lip_r: float
    lip_best_lag: int
    lip_best_r: float
    lip_range_ratio: float
    hs: float
    pose_velocity_w1: float
    identity_distance: float
    identity_distance_real: float
    eye_aperture_r: float
    sharpness_mouth_ratio: float
    jitter_ratio: float
    frames: int
    frames_face_lost: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: numbers rounded to four decimals, None for what can't be measured."""
        return {field.name: json_number(getattr(self, field.name)) for field in fields(self)}


def compare_pixels(real: Take, generated: Take) -> PixelScores:
    """Frame-by-frame pixel metrics, mean over frames. Regions come from the *real* landmarks, so both sides
    are judged at the same place; only sharpness looks where each side's own mouth is.

    Raises:
        ValueError: the pictures differ in size, or there are fewer of them than landmarks.
    """
    here, there = visible(real.landmarks), visible(generated.landmarks)
    face, hull, structure, mouth, sharp_real, sharp_generated = ([] for _ in range(6))
    index = -1
    for index, (a, b) in enumerate(zip(real.frames, generated.frames, strict=False)):
        if index >= len(here):
            break
        if a.shape != b.shape:
            raise ValueError(f"frame {index}: the generated picture is {b.shape}, the real one {a.shape}")
        size = a.shape[0], a.shape[1]
        if here[index]:
            points = real.landmarks[index]
            face.append(psnr(a, b, face_box(points, size)))
            hull.append(psnr(a, b, hull_mask(points, size)))
            structure.append(ssim(a, b, face_box(points, size)))
            mouth.append(psnr(a, b, mouth_box(points, size)))
            sharp_real.append(sharpness(a, mouth_box(points, size)))
        if there[index]:
            sharp_generated.append(sharpness(b, mouth_box(generated.landmarks[index], size)))
    if index + 1 < len(here):
        raise ValueError(f"only {index + 1} pictures for {len(here)} frames of landmarks")
    least = _mean(sharp_real)
    return PixelScores(
        psnr_face=_mean(face),
        psnr_hull=_mean(hull),
        ssim_face=_mean(structure),
        psnr_mouth=_mean(mouth),
        sharpness_mouth_ratio=_mean(sharp_generated) / least if least > 0 else math.nan,
    )


def score(
    real: Take, generated: Take, enrolled: NDArray[Any], *, camera: Camera, fps: float = 25.0
) -> Scores:
    """Every metric of a generated clip against the real frames it should equal.

    Args:
        real: the held-out frames.
        generated: as many frames, in step with the real ones.
        enrolled: (D,) mean descriptor of the real training frames; NaN when there is none.
        camera: the assumed camera for the head pose, the same for both sides.
        fps: frames per second of both.

    Raises:
        ValueError: the takes differ in length or in picture size.
    """
    if len(real.landmarks) != len(generated.landmarks):
        raise ValueError(f"{len(real.landmarks)} real frames but {len(generated.landmarks)} generated ones")
    pixels = compare_pixels(real, generated)
    lips, made_lips = mouth_opening(real.landmarks), mouth_opening(generated.landmarks)
    angles, made_angles = head_angles(real.landmarks, camera), head_angles(generated.landmarks, camera)
    lag, best_r = best_lag(lips, made_lips)
    shown = visible(real.landmarks)
    return Scores(
        psnr_face=pixels.psnr_face,
        psnr_hull=pixels.psnr_hull,
        ssim_face=pixels.ssim_face,
        psnr_mouth=pixels.psnr_mouth,
        lmd_lips_pct_iod=lip_distance(real.landmarks, generated.landmarks, centred=True),
        lmd_lips_place_pct_iod=lip_distance(real.landmarks, generated.landmarks, centred=False),
        lip_r=correlation(lips, made_lips),
        lip_best_lag=lag,
        lip_best_r=best_r,
        lip_range_ratio=range_ratio(lips, made_lips),
        hs=head_pose_similarity(angles, made_angles),
        pose_velocity_w1=velocity_distance(angles, made_angles, fps),
        identity_distance=identity_distance(generated.descriptors, enrolled),
        identity_distance_real=identity_distance(real.descriptors, enrolled),
        eye_aperture_r=correlation(eye_aperture(real.landmarks), eye_aperture(generated.landmarks)),
        sharpness_mouth_ratio=pixels.sharpness_mouth_ratio,
        jitter_ratio=jitter_ratio(real.landmarks, generated.landmarks),
        frames=int(shown.sum()),
        frames_face_lost=int((shown & ~visible(generated.landmarks)).sum()),
    )


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
