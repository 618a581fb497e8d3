"""What inspection reports: findings, figures, and the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from media.probe import MediaInfo
from media.survey import SoundFigures
from problems import (
    FaceTooSmall,
    LipsStrange,
    NoFace,
    NoSound,
    Problem,
    SeveralFaces,
    StillImage,
    TooShort,
    problem_from_dict,
)


@dataclass(frozen=True)
class Finding:
    """One thing to know about a clip."""

    code: str
    """Stable name, e.g. ``no_face``."""
    severity: str
    """``error``: can't be trained on; ``warning``: can, with this in mind; ``hint``: something the clip can't teach."""
    message: str
    """What was found."""
    remedy: str
    """What helps."""
    frames: tuple[int, ...] = ()
    """Frames at 25 fps that show it, where it is a matter of frames."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The numbers behind the message, JSON types."""


@dataclass(frozen=True)
class FaceFigures:
    """The faces of the frames that were looked at; px are those of the normalised clip."""

    share: float
    """Share of frames with a usable face, 0..1."""
    usable_frames: int
    """Estimate for the whole clip, frames at 25 fps."""
    counts: tuple[int, ...]
    """Faces in each sampled frame."""
    iod_px: float
    """Median distance between the outer eye corners, px."""
    box_px: tuple[float, float]
    """Median width and height of the landmarks' box, px."""
    sharpness: float
    """Median sharpness of the face, see :attr:`InspectConfig.min_sharpness`; under .03 is blurred."""
    brightness: float
    """Median grey of the face, 0..255."""
    yaw_deg: tuple[float, float]
    """5th and 95th percentile of the turn to the side, degrees; positive: the nose points to the image's right."""
    pitch_deg: tuple[float, float]
    """The same for the nod, positive: up; a face unlike the mean head may read some degrees off."""
    mouth_range: float
    """5th to 95th percentile of the inner-lip opening over the inter-ocular distance."""
    mouth_widest: float
    """98th percentile of the same opening."""
    mouth_open: float
    """Share of frames with the mouth open by :attr:`InspectConfig.open_mouth` or more, 0..1."""
    blinks: int
    """Times at which the eyes were seen closed; between two samples a blink can be missed."""
    light_step: float
    """Largest sudden change of the light on the face (brightness, or red or blue over green), stops."""
    light_drift: float
    """Difference of that light between the clip's extremes, smoothed, stops."""
    covered: float
    """Share of frames in which part of the face looks covered, 0..1."""
    colourless_lips: float | None
    """Share of the lips without the skin's tint in the clip's median picture, 0..1; None without colour."""
    motion_blur: float
    """Share of frames blurred by motion, 0..1."""
    soft: float
    """Share of frames far less sharp than the clip's sharp ones, 0..1."""


@dataclass(frozen=True)
class VoiceFigures:
    """Whether lips and voice belong together (:mod:`motion.lip_sync`)."""

    verdict: str
    """``together``; ``shifted``: together, but late or early; ``strange``: another's voice; ``unsure``; ``unheard``:
    too little voice or face to tell."""
    correlation: float
    """Of the height of the mouth with what the voice lets expect, at the lag, -1..1; about 0 for a stranger's voice."""
    sound_late_ms: int
    """Milliseconds by which the sound comes after the lips; negative: before them. Up to 80 are natural."""
    z: float
    """Standard deviations of that agreement beyond chance; 3 and more is hardly an accident."""
    power: float
    """The z that a mumbled clip of this length would still reach: how much could be told."""
    shifted_ms: int
    """Milliseconds by which training moves the sound forward to undo the lag; 0 where it leaves it."""
    voiced_s: float
    """Seconds with a voice."""
    frames: int
    """Frames at 25 fps that were compared."""
    windows: tuple[tuple[int, float], ...] = ()
    """First frame and correlation of each four seconds that were followed."""
    missing: tuple[tuple[int, int], ...] = ()
    """Ranges of frames without any sound, first to last."""
    unvoiced: tuple[tuple[int, int], ...] = ()
    """Ranges in which lips move as in speech, and no voice is heard."""
    unmoved: tuple[tuple[int, int], ...] = ()
    """Ranges in which a voice is heard, and the lips keep still."""


@dataclass(frozen=True)
class Inspection:
    """What was seen in a clip."""

    name: str
    """File name."""
    media: MediaInfo
    """Container, codecs, sizes, rates."""
    frames: int
    """Frames at 25 fps that were looked at: those that training would use."""
    sampled: tuple[int, ...]
    """The frames that were searched for faces."""
    face: FaceFigures | None
    """None when no face was seen."""
    sound: SoundFigures | None
    """None when there is no sound."""
    cuts: tuple[int, ...]
    """First frames after a cut."""
    findings: tuple[Finding, ...]
    """Errors first."""
    voice: VoiceFigures | None = None
    """None when nobody listened, or there is nothing to hear or to see."""

    @property
    def trainable(self) -> bool:
        """Whether a person can be learned from the clip."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stand in the way."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def raise_if_untrainable(self) -> None:
        """Raise the problem of the first error, with ``details.frames`` and ``details.findings``."""
        if self.trainable:
            return
        first = self.errors[0]
        details = {**first.facts, "frames": list(first.frames), "findings": [asdict(f) for f in self.errors]}
        kind = _PROBLEMS.get(first.code)
        if kind is not None:
            raise kind(first.message, remedy=first.remedy, details=details)
        raise problem_from_dict(
            {"slug": first.code, "message": first.message, "remedy": first.remedy, "details": details}
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON types: the fields, with ``trainable`` on top."""
        return {"trainable": self.trainable, **_plain(asdict(self))}


_PROBLEMS: dict[str, type[Problem]] = {
    "no_face": NoFace,
    "upside_down": NoFace,
    "sideways": NoFace,
    "several_faces": SeveralFaces,
    "face_too_small": FaceTooSmall,
    "too_short": TooShort,
    "still_image": StillImage,
    "no_sound": NoSound,
    "silent_sound": NoSound,
    "lips_strange": LipsStrange,
}
"""Errors that are found here; the codes of others are the slugs of the problems that reading met."""


def _plain(value: Any) -> Any:
    """JSON types: tuples become lists, numbers that are none become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
