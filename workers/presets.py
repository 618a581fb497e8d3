"""What ``instant``, ``preview``, ``standard`` and ``best`` mean for each stage."""

from __future__ import annotations

from dataclasses import dataclass

from problems import InvalidParameter


@dataclass(frozen=True)
class Preset:
    """One trade of time for quality."""

    name: str
    """instant, preview, standard or best."""
    frames: int
    """Frames of the clip that are learnt from, at most (25 a second)."""
    passes: int
    """Different source frames under each training frame; 0: no network is trained."""
    max_crop_px: int
    """Upper limit of the working size of the face crop in pixels."""
    texture_px: int
    """Side of the texture atlas."""


PRESETS = {
    "instant": Preset("instant", frames=375, passes=0, max_crop_px=640, texture_px=1024),
    "preview": Preset("preview", frames=375, passes=2, max_crop_px=640, texture_px=1024),
    "standard": Preset("standard", frames=750, passes=4, max_crop_px=768, texture_px=1024),
    "best": Preset("best", frames=1500, passes=6, max_crop_px=1024, texture_px=2048),
}


def preset_named(name: str) -> Preset:
    """The preset called ``name``; raises :class:`problems.InvalidParameter` when there is none."""
    if name not in PRESETS:
        raise InvalidParameter(
            f"there is no preset {name!r}",
            remedy=f"use one of {', '.join(PRESETS)}",
            details={"field": "preset"},
        )
    return PRESETS[name]
