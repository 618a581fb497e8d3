"""Thresholds of clip inspection; docs/recording.md shows what they were chosen from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InspectConfig:
    """Where the lines are drawn; docs/recording.md explains them to users."""

    samples: int = 120
    """Frames looked at for faces."""
    max_side: int = 1280
    """Longest side at which they are looked at, px; sizes are reported for the normalised clip."""
    min_frames: int = 75
    """Frames with a usable face, at 25 fps; fewer is an error."""
    good_frames: int = 200
    """Frames with a usable face, at 25 fps; fewer is a warning."""
    min_face_share: float = 0.6
    """Share of frames with a usable face, 0..1; less is an error."""
    max_second_share: float = 0.1
    """Share of frames with a second face, 0..1; more is an error."""
    second_face_size: float = 0.35
    """A face narrower than this part of the main one is background (a poster, a passer-by)."""
    min_iod: float = 24.0
    """Inter-ocular distance (outer corners), px; less is an error."""
    good_iod: float = 60.0
    """Inter-ocular distance, px; less is a warning."""
    far_iod_share: float = 0.075
    """Inter-ocular distance over the picture's longest side; below it the mesh no longer finds the face."""
    min_sharpness: float = 0.03
    """Variance of the Laplacian over the face's own variance at an inter-ocular distance of 64 px; less is a
    warning."""
    dark: float = 40.0
    """Mean grey of the face, 0..255; less is a warning."""
    bright: float = 225.0
    """Mean grey of the face, 0..255; more is a warning."""
    max_yaw_deg: float = 40.0
    """Turn of the head to the side; frames beyond it are a warning."""
    silence_dbfs: float = -60.0
    """Sound whose peak stays below it is silence: an error."""
    quiet_dbfs: float = -42.0
    """Level of the louder half, dB of full scale; less is a warning."""
    noisy_snr_db: float = 12.0
    """Loud over quiet windows; less is a warning."""
    clipped_share: float = 0.01
    """Share of 20 ms windows that are clipped; more is a warning."""
    still_level: float = 1.5
    """Largest change of any 8x8 block of the 96 px thumbnails, grey levels; a video below it is a still
    image."""
    frozen_frames: int = 13
    """Frames in a row that repeat the one before; so many are a warning."""
    min_mouth_range: float = 0.02
    """5th to 95th percentile of the lip opening over the inter-ocular distance; less is a warning: nobody speaks."""
    open_mouth: float = 0.05
    """Lip opening over the inter-ocular distance from which teeth show."""
    min_mouth_widest: float = 0.06
    """98th percentile of that opening; less is a warning."""
    closed_eyes: float = 0.65
    """Lid opening, as part of the clip's 90th percentile, under which the eyes count as closed."""
    still_head_deg: float = 2.5
    """5th to 95th percentile of yaw and of pitch; if both are less, a hint."""
    max_light_step: float = 0.2
    """Change of the light on the face from one sample to the next, stops; more is a warning."""
    max_light_drift: float = 0.4
    """Change of the light on the face over the clip, stops; more is a warning."""
    covered_cells: float = 0.25
    """Part of a face region (mouth, chin, a cheek, ...) that looks unlike the rest of the clip, 0..1; a frame with
    more counts as covered."""
    max_covered_share: float = 0.015
    """Share of frames that are covered, 0..1; more is a warning."""
    max_colourless_lips: float = 0.5
    """Share of the lips without the skin's tint in the clip's median picture, 0..1; more is a warning."""
    motion_detail: float = 0.5
    """Detail along the direction in which a frame lost most, over that of the clip's sharp frames; less ..."""
    motion_ratio: float = 0.35
    """... and less than this part of what is left in the direction that lost least, ..."""
    motion_floor: float = 0.08
    """... which must be more than this: blurred by motion. With less left anywhere, it is out of focus."""
    max_motion_share: float = 0.05
    """Share of frames blurred by motion, 0..1; more is a warning."""
    soft_detail: float = 0.3
    """Detail over that of the clip's sharp frames; less in all directions is out of focus."""
    max_soft_share: float = 0.05
    """Share of such frames, 0..1; more is a warning."""
    good_fps: float = 20.0
    """Different pictures a second; less is a warning."""
    cut_structure: float = 0.68
    """Part of a thumbnail's structure that is found again behind a change, 0..1; less is a cut."""
