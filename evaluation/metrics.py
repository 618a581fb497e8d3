"""What each metric is called, its unit, and which way is better. Tables are made from this list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One row of a table."""

    key: str
    """Key in ``evaluation.json``."""
    unit: str
    """Unit, empty for a pure number."""
    better: str
    """``higher``, ``lower``, ``one`` (nearest to 1), ``zero`` (nearest to 0)."""
    meaning: str
    """One line for people."""
    digits: int = 2
    """Decimals in a table."""

    def text(self, value: float | None) -> str:
        """A value as a table shows it; a dash for one that can't be measured."""
        if value is None or not math.isfinite(value):
            return "-"
        return f"{value:.{self.digits}f}"


METRICS: tuple[Metric, ...] = (
    Metric("psnr_face", "dB", "higher", "landmark box + 15 %", 1),
    Metric("psnr_hull", "dB", "higher", "inside the landmarks' convex hull: the face's own figure", 1),
    Metric("ssim_face", "", "higher", "structural similarity of the luma in the landmark box + 15 %", 3),
    Metric("psnr_mouth", "dB", "higher", "lip box + 30 %", 1),
    Metric("lmd_lips_pct_iod", "% IOD", "lower", "lip shape distance, lips centred on their mean"),
    Metric("lmd_lips_place_pct_iod", "% IOD", "lower", "lip distance in the picture, head position included"),
    Metric("lip_r", "", "higher", "correlation of the inner-lip opening at lag 0"),
    Metric("lip_best_lag", "frames", "zero", "shift with the best correlation, positive = late", 0),
    Metric("lip_best_r", "", "higher", "correlation at that shift"),
    Metric("lip_range_ratio", "", "one", "range of the inner-lip opening, generated / real"),
    Metric("hs", "", "higher", "head-pose similarity, 1 - W1 of the Euler angles / 90 degrees", 3),
    Metric("pose_velocity_w1", "deg/s", "lower", "W1 of the angular velocities"),
    Metric("identity_distance", "", "lower", "descriptor distance to the person's mean", 3),
    Metric("identity_distance_real", "", "lower", "the same for the real held-out frames", 3),
    Metric("eye_aperture_r", "", "higher", "correlation of the eyes' aperture at lag 0"),
    Metric("sharpness_mouth_ratio", "", "one", "Laplacian energy in the mouth box, generated / real"),
    Metric("jitter_ratio", "", "one", "tremble of the landmarks in the head's frame, generated / real"),
    Metric("frames", "", "higher", "frames compared", 0),
    Metric("frames_face_lost", "", "lower", "frames with a real face but no generated one", 0),
)
"""In the order of the tables."""


def json_number(value: float) -> float | int | None:
    """A number for JSON, which knows no NaN: None for what can't be measured, four decimals for the rest."""
    if isinstance(value, int):
        return value
    return round(float(value), 4) if math.isfinite(value) else None


def marks_missed(
    reenact: Mapping[str, float | None], dub: Mapping[str, float | None], replay: Mapping[str, float | None]
) -> list[str]:
    """Which of issue 2's marks for the ``preview`` preset a result misses, one sentence each; empty when all
    are met."""
    missed = []
    for key, least in (("psnr_hull", 26.0), ("psnr_face", 21.0), ("lip_r", 0.85)):
        value = reenact.get(key)
        if value is None or value < least:
            missed.append(f"reenact {key} {value} is under {least}")
    distance, own = reenact.get("identity_distance"), reenact.get("identity_distance_real")
    if distance is None or own is None or distance > own + 0.1:
        missed.append(f"reenact identity_distance {distance} is over the real clip's own {own} + 0.1")
    heard, control = dub.get("lip_r"), replay.get("lip_r")
    if heard is None or control is None or heard < control + 0.2:
        missed.append(f"dub lip_r {heard} is not clearly (0.2) above the replay control's {control}")
    return missed
